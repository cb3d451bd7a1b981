//! The convolutions of so many training steps of the network everyone starts from, on 16 images: what
//! `scripts/check_instructions.py` counts. In a program of its own, since libtorch takes billions of
//! instructions to start.

use kernels::{Slopes, TrainedConv, TrainingScratch, Window};

const IMAGES: usize = 16;

fn number(i: usize) -> f32 {
    ((i * 37 % 1009) as f32 - 500.0) / 500.0
}

fn main() {
    let steps = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let steps: usize = steps.expect("training_step STEPS");
    let mut scratch = TrainingScratch::default();
    let mut total = 0.0;
    for (input, features) in [([28, 28, 1], 32), ([12, 12, 32], 64)] {
        let layer = TrainedConv::new(Window::new([5, 5]), input, features, true).expect("it has a kernel");
        let size: usize = input.iter().product();
        let images: Vec<f32> = (0..IMAGES * size).map(number).collect();
        let mut weight: Vec<f32> = (0..features * 25 * input[2]).map(|i| number(i) / 10.0).collect();
        let bias = vec![0.1; features];
        let mut output = vec![0.0; IMAGES * layer.output().iter().product::<usize>()];
        let mut winners = output.clone();
        let mut image_slopes = vec![0.0; if layer.has_input_slopes() { images.len() } else { 0 }];
        for _ in 0..steps {
            let factors = layer.factors(&weight, &bias, layer.has_input_slopes());
            layer.forward(&factors, &images, &mut scratch, &mut output, Some(&mut winners));
            let slopes = Slopes { values: &output, winners: Some(&winners) };
            let mut sums = vec![0.0; layer.sums()];
            let wanted = layer.has_input_slopes().then_some(&mut image_slopes[..]);
            layer.backward(&factors, &images, slopes, &mut scratch, wanted, &mut sums);
            layer.finish(&sums, &mut weight, None);
        }
        total += weight.iter().chain(&image_slopes).sum::<f32>();
    }
    // What nothing reads, a compiler may leave out.
    std::hint::black_box(total);
}
