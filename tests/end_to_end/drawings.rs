//! Drawings of digits that are not from MNIST: 280x280, black on white, anti-aliased, by
//! fonts and by strokes (`tests/data/draw_digits.py`).

use std::path::PathBuf;

use infer::Predictor;
use tests::root;

fn drawings() -> Vec<(PathBuf, String)> {
    let folder = root().join("tests/data/digits");
    let files = infer::decode::image_files(&folder).unwrap().files;
    files
        .into_iter()
        .map(|file| (file.clone(), file.file_name().unwrap().to_str().unwrap()[..1].to_owned()))
        .collect()
}

#[test]
fn at_least_95_percent_are_read_right() {
    let predictor = Predictor::open(&root().join("zoo"), "mnist-cnn@1").unwrap();
    let drawings = drawings();
    assert!(drawings.len() >= 200);
    let (mut right, mut naive_right, mut wrong) = (0, 0, Vec::new());
    for (file, label) in &drawings {
        let image = infer::decode::read_image(file).unwrap();
        let found = predictor.predict(&image).unwrap().label;
        if found == *label {
            right += 1;
        } else {
            wrong.push(format!("{} as {found}", file.file_name().unwrap().to_str().unwrap()));
        }
        // What most programs do: squeeze to 28x28 and invert.
        let naive = infer::preprocess::naive_resize(&image, predictor.manifest().image_shape());
        let inverted = naive.iter().map(|p| 255 - p).collect();
        naive_right += usize::from(predictor.predict_pixels(inverted).unwrap().label == *label);
    }
    let total = drawings.len();
    println!("the MNIST procedure: {right}/{total}; naive resize: {naive_right}/{total}; wrong: {wrong:?}");
    assert!(
        right * 100 >= total * 95,
        "{right}/{total} right (naive resize: {naive_right}); wrong: {wrong:?}"
    );
    assert!(right > naive_right);
}

#[test]
fn the_model_for_photographs_reads_at_least_98_percent() {
    let predictor = Predictor::built_in().unwrap();
    let drawings = drawings();
    let wrong: Vec<String> = drawings
        .iter()
        .map(|(file, label)| {
            (file, label, predictor.predict(&infer::decode::read_image(file).unwrap()).unwrap())
        })
        .filter(|(_, label, found)| found.label != **label)
        .map(|(file, _, found)| format!("{} as {}", file.file_name().unwrap().display(), found.label))
        .collect();
    assert!(wrong.len() * 100 <= drawings.len() * 2, "{} of {}: {wrong:?}", wrong.len(), drawings.len());
}

#[test]
fn a_white_digit_on_black_and_one_on_transparent_ground_are_read_too() {
    let predictor = Predictor::built_in().unwrap();
    let (file, label) = &drawings()[drawings().len() / 2];
    let drawing = infer::decode::read_image(file).unwrap().to_luma8();
    let inverted =
        image::GrayImage::from_fn(280, 280, |x, y| image::Luma([255 - drawing.get_pixel(x, y).0[0]]));
    // Ink in the alpha channel: black ink, and white ink that would vanish on white paper.
    let ink = |level: u8| {
        image::RgbaImage::from_fn(280, 280, |x, y| {
            image::Rgba([level, level, level, 255 - drawing.get_pixel(x, y).0[0]])
        })
    };
    for image in [image::DynamicImage::from(inverted), ink(0).into(), ink(255).into()] {
        assert_eq!(predictor.predict(&image).unwrap().label, *label);
    }
}
