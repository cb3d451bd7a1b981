//! Classifies image files with a published model, from your own program:
//! `cargo run -p infer --example predict -- docs/seven.png`.
#![allow(clippy::print_stdout)]

use std::path::Path;

use infer::{Predictor, decode};

fn main() -> infer::Result<()> {
    // Hashes are checked when a model is opened; it is then used for as many images as you like.
    let predictor = Predictor::open(Path::new("zoo"), "mnist-cnn@1")?;
    for file in std::env::args().skip(1) {
        let image = decode::read_image(Path::new(&file))?;
        let prediction = predictor.predict(&image)?;
        let best = &prediction.classes[0];
        println!("{file}: {} ({:.1} %)", best.label, 100.0 * best.probability);
    }
    Ok(())
}
