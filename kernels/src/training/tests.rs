//! Gradients against sums of `f64`, and what is refused.

use proptest::prelude::*;

use super::*;

fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 37 + seed * 101) * 7919 % 1009) as f32 / 500.0 - 1.0).collect()
}

/// A convolution, ReLU and pooling, with their gradient, by the definition in f64.
struct Definition {
    window: Window,
    input: [usize; 3],
    features: usize,
    is_pooled: bool,
}

impl Definition {
    /// Each multiplication of an image `[input value, weight, output value]`.
    fn terms(&self) -> impl Iterator<Item = [usize; 3]> {
        let ([height, width, channels], [rows, columns]) = (self.input, self.window.kernel);
        let [output_height, output_width] = self.window.output([height, width]);
        let (features, padding) = (self.features, self.window.padding);
        (0..output_height * output_width * features).flat_map(move |output| {
            let (pixel, feature) = (output / features, output % features);
            (0..channels * rows * columns).filter_map(move |place| {
                let (channel, i, j) =
                    (place % channels, place / channels / columns, place / channels % columns);
                let y = (pixel / output_width + i).checked_sub(padding[0][0]).filter(|&y| y < height)?;
                let x = (pixel % output_width + j).checked_sub(padding[1][0]).filter(|&x| x < width)?;
                Some([
                    (y * width + x) * channels + channel,
                    feature * channels * rows * columns + place,
                    output,
                ])
            })
        })
    }

    /// Where each output of the layer comes from among those of the convolution, and whether it passes
    /// ReLU, as `winners` say: of nearly equal values any may win.
    fn sources(&self, convolved: &[f64], winners: &[f32]) -> Vec<(usize, bool)> {
        let [height, width] = self.window.output([self.input[0], self.input[1]]);
        if !self.is_pooled {
            return (0..convolved.len()).map(|at| (at, true)).collect();
        }
        let size = [height / 2, width / 2, self.features];
        let source = |at: usize| {
            let (pixel, feature) = (at / size[2], at % size[2]);
            let corner = (pixel / size[1] * 2) * width + pixel % size[1] * 2;
            let places = [0, 1, width, width + 1].map(|place| (corner + place) * size[2] + feature);
            let largest = places.into_iter().fold(f64::MIN, |largest, place| largest.max(convolved[place]));
            match places.get(winners[at] as usize) {
                Some(&winner) => {
                    assert!(convolved[winner] > largest - 1e-4 && largest > -1e-4, "{at}: not the largest");
                    (winner, true)
                }
                None => {
                    assert!(largest < 1e-4, "{at}: {largest} is above zero");
                    (places[0], false)
                }
            }
        };
        (0..size.iter().product()).map(source).collect()
    }
}

fn close(found: &[f32], expected: &[f64], what: &str) -> Result<(), TestCaseError> {
    let scale = expected.iter().fold(1f64, |largest, value| largest.max(value.abs()));
    prop_assert_eq!(found.len(), expected.len());
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let difference = (f64::from(*found) - expected).abs();
        prop_assert!(difference < 3e-5 * scale, "{} {}: {}, {}", what, at, found, expected);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// Pass and gradient are those of the definition, for shapes that fill their tiles or do not; and a
    /// batch in two parts has the bits of the batch at once.
    #[test]
    fn is_the_layer_and_its_gradient(
        kernel_size in 3usize..6, height in 1usize..14, width in 1usize..14, padding in (0usize..3, 0usize..3, 0usize..3),
        wide: bool, is_pooled: bool, images in 1usize..4, seed in 0usize..1000,
    ) {
        let padding = [[padding.0, padding.1], [padding.2, padding.0]];
        let window = Window { padding, ..Window::new([kernel_size; 2]) };
        let (channels, features) = (if wide { 32 } else { 1 }, if seed % 2 == 0 { 16 } else { 32 });
        let input = [height, width, channels];
        let layer = TrainedConv::new(window, input, features, is_pooled);
        prop_assume!(layer.is_some());
        let layer = layer.unwrap();
        let size: usize = input.iter().product();
        let output_size: usize = layer.output().iter().product();
        let values = numbers(images * size, seed);
        let weight: Vec<f32> = numbers(features * channels * kernel_size * kernel_size, seed + 1);
        let bias = numbers(features, seed + 2);
        let slopes = numbers(images * output_size, seed + 3);

        let factors = layer.factors(&weight, &bias, true);
        let mut scratch = TrainingScratch::default();
        let mut output = vec![f32::NAN; images * output_size];
        let mut winners = vec![f32::NAN; if is_pooled { output.len() } else { 0 }];
        layer.forward(&factors, &values, &mut scratch, &mut output, is_pooled.then_some(&mut winners));
        let mut image_slopes = vec![f32::NAN; if layer.has_input_slopes() { values.len() } else { 0 }];
        let mut sums = vec![0.0; layer.sums()];
        let all = Slopes { values: &slopes, winners: is_pooled.then_some(&winners) };
        let wanted = layer.has_input_slopes().then_some(&mut image_slopes[..]);
        layer.backward(&factors, &values, all, &mut scratch, wanted, &mut sums);
        let (mut weight_slopes, mut bias_slopes) = (vec![f32::NAN; weight.len()], vec![f32::NAN; features]);
        layer.finish(&sums, &mut weight_slopes, Some(&mut bias_slopes));
        let mut sums_of_parts = vec![0.0; layer.sums()];
        let factors = factors.for_gradient();
        for (first, count) in [(0, 1), (1, images - 1)] {
            let values = &values[first * size..][..count * size];
            let slopes = all.part(first * output_size, count * output_size);
            layer.backward(&factors, values, slopes, &mut scratch, None, &mut sums_of_parts);
        }
        prop_assert_eq!(&sums, &sums_of_parts);

        let definition = Definition { window, input, features, is_pooled };
        let (mut expected_weight, mut expected_bias) = (vec![0.0; weight.len()], vec![0.0; features]);
        for image in 0..images {
            let values = &values[image * size..][..size];
            let convolved_size: usize = window.output([height, width]).iter().product::<usize>() * features;
            let mut convolved: Vec<f64> = (0..convolved_size).map(|at| bias[at % features].into()).collect();
            for [from, by, to] in definition.terms() {
                convolved[to] += f64::from(values[from]) * f64::from(weight[by]);
            }
            let winners = winners.get(image * output_size..).unwrap_or_default();
            let sources = definition.sources(&convolved, winners);
            let relu = |&(at, passes): &(usize, bool)| if passes { convolved[at] } else { 0.0 };
            let expected: Vec<f64> = sources.iter().map(relu).collect();
            close(&output[image * output_size..][..output_size], &expected, "output")?;
            let mut back = vec![0.0; convolved_size];
            for ((at, passes), slope) in sources.iter().zip(&slopes[image * output_size..]) {
                if *passes {
                    back[*at] = f64::from(*slope);
                    expected_bias[at % features] += f64::from(*slope);
                }
            }
            let mut expected_inputs = vec![0.0; size];
            for [from, by, to] in definition.terms() {
                expected_inputs[from] += back[to] * f64::from(weight[by]);
                expected_weight[by] += back[to] * f64::from(values[from]);
            }
            if layer.has_input_slopes() {
                close(&image_slopes[image * size..][..size], &expected_inputs, "input's slope")?;
            }
        }
        close(&weight_slopes, &expected_weight, "weight's slope")?;
        close(&bias_slopes, &expected_bias, "bias's slope")?;
    }
}

/// Whatever has no kernel is left to others.
#[test]
fn other_convolutions_are_refused() {
    let five = Window::new([5, 5]);
    assert!(TrainedConv::new(five, [12, 12, 32], 64, true).is_some());
    assert!(TrainedConv::new(five, [28, 28, 1], 32, true).is_some());
    for (window, input, features, is_pooled) in [
        (Window::new([4, 4]), [28, 28, 1], 32, false),
        (five, [28, 28, 3], 32, true),
        (five, [28, 28, 1], 20, true),
        (five, [4, 12, 32], 64, false),
        (five, [5, 5, 32], 64, true),
        (Window::new([4, 4]), [12, 12, 32], 64, true),
        (Window { strides: [2, 2], ..five }, [12, 12, 32], 64, false),
        (Window { dilations: [2, 2], ..five }, [12, 12, 32], 64, false),
    ] {
        assert!(TrainedConv::new(window, input, features, is_pooled).is_none(), "{window:?} on {input:?}");
    }
}

/// A weight that is no number shows in the outputs: it is never taken for "not above zero".
#[test]
fn nan_stays() {
    for channels in [1, 16] {
        let layer = TrainedConv::new(Window::new([3, 3]), [12, 12, channels], 16, true).unwrap();
        let factors = layer.factors(&vec![f32::NAN; 16 * channels * 9], &[0.0; 16], false);
        let mut output = vec![0.0; layer.output().iter().product()];
        let mut winners = output.clone();
        let images = vec![1.0; 144 * channels];
        layer.forward(&factors, &images, &mut TrainingScratch::default(), &mut output, Some(&mut winners));
        assert!(output.iter().all(|value| value.is_nan()));
    }
}

/// Wherever it stands in its window.
#[test]
fn a_pixel_that_is_nan_shows_in_every_window_that_it_reaches() {
    let layer = TrainedConv::new(Window::new([3, 3]), [12, 12, 1], 16, true).unwrap();
    let factors = layer.factors(&[1.0; 16 * 9], &[0.0; 16], false);
    for pixel in 0..144 {
        let mut images = vec![1.0; 144];
        images[pixel] = f32::NAN;
        let mut output = vec![0.0; layer.output().iter().product()];
        let mut winners = output.clone();
        layer.forward(&factors, &images, &mut TrainingScratch::default(), &mut output, Some(&mut winners));
        for (at, value) in output.iter().enumerate() {
            let (y, x) = (at / 16 / 5 * 2, at / 16 % 5 * 2);
            let reaches = (y..y + 4).contains(&(pixel / 12)) && (x..x + 4).contains(&(pixel % 12));
            assert_eq!(value.is_nan(), reaches, "pixel {pixel}, output {at}");
        }
    }
}
