//! `infer predict`, `list` and `show` as a user runs them.

use serde_json::Value;
use tests::{root, run, run_with_input, succeed};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// A real test image of MNIST as a PNG, and its label.
fn test_image(index: usize) -> (Vec<u8>, String) {
    let mnist = datasets::Dataset::find(&root().join("datasets"), "mnist").unwrap();
    let samples = mnist.load(datasets::Split::Test).unwrap();
    let image = image::GrayImage::from_raw(28, 28, samples.image(index).to_vec()).unwrap();
    let mut png = std::io::Cursor::new(Vec::new());
    image.write_to(&mut png, image::ImageFormat::Png).unwrap();
    (png.into_inner(), samples.labels[index].to_string())
}

#[test]
fn files_folders_and_standard_input() {
    let dir = tempfile::tempdir().unwrap();
    let (png, label) = test_image(0);
    std::fs::write(dir.path().join("b.png"), &png).unwrap();
    std::fs::write(dir.path().join("a.PNG"), &png).unwrap();
    std::fs::write(dir.path().join("notes.txt"), "not an image").unwrap();
    let zoo = root().join("zoo");
    let zoo = zoo.to_str().unwrap();
    let result = json(&succeed("infer", dir.path(), ["predict", ".", "b.png", "--zoo", zoo, "--json"]));
    let files: Vec<&str> =
        result["predictions"].as_array().unwrap().iter().filter_map(|p| p["file"].as_str()).collect();
    assert_eq!(files, ["./a.PNG", "./b.png", "b.png"]);
    assert!(result["predictions"].as_array().unwrap().iter().all(|p| p["label"] == label.as_str()));
    assert_eq!(result["model"], "mnist-robust");
    let piped = run_with_input("infer", dir.path(), &["predict", "-", "--zoo", zoo], &png);
    assert_eq!(piped.code, Some(0), "{piped:?}");
    assert!(piped.stdout.starts_with(&format!("-: {label} ")), "{}", piped.stdout);
}

#[test]
fn without_a_zoo_the_built_in_model_answers_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (png, label) = test_image(1);
    std::fs::write(dir.path().join("x.png"), png).unwrap();
    let outcome = run("infer", dir.path(), ["predict", "x.png"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stdout.starts_with(&format!("x.png: {label} ")), "{}", outcome.stdout);
    assert!(outcome.stderr.contains("built-in mnist-robust@"), "{}", outcome.stderr);
    let result = json(&succeed("infer", dir.path(), ["predict", "x.png", "--json"]));
    assert_eq!(result["embedded"], true);
    let outcome = run("infer", dir.path(), ["predict", "x.png", "--model", "fashion-cnn"]);
    tests::assert_refused("fashion without a zoo", &outcome, &["built-in model is mnist-robust@", "--zoo"]);
}

#[test]
fn one_bad_file_does_not_lose_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let (png, label) = test_image(2);
    std::fs::write(dir.path().join("good.png"), png).unwrap();
    std::fs::write(dir.path().join("bad.png"), "nonsense").unwrap();
    let outcome = run("infer", dir.path(), ["predict", "bad.png", "missing.png", "good.png"]);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stdout.starts_with(&format!("good.png: {label} ")), "{}", outcome.stdout);
    assert!(outcome.stderr.contains("bad.png: not an image") && outcome.stderr.contains("missing.png: "));
}

#[test]
fn show_draws_what_the_network_sees() {
    let (png, _) = test_image(0);
    let outcome = run_with_input("infer", &root(), &["predict", "-", "--show", "--top-k", "1"], &png);
    // The picture of a given input never changes; the probability in the first line may.
    let picture: Vec<&str> = outcome.stdout.lines().skip(1).collect();
    insta::assert_snapshot!(picture.join("\n"));
    let both = run_with_input("infer", &root(), &["predict", "-", "--show", "--json"], &png);
    assert!(both.code == Some(2) && both.stderr.contains("--show"), "{both:?}");
}

#[test]
fn list_and_card() {
    let listed = json(&succeed("infer", &root(), ["list", "--json"]));
    assert!(
        listed.as_array().unwrap().iter().any(|m| m["model"] == "mnist-cnn" && m["parameters"] == 1_111_946)
    );
    let card = succeed("infer", &root(), ["show", "fashion-cnn@1"]);
    for part in ["# fashion-cnn 1", "## Network", "conv2", "Ankle boot", "Licence: MIT"] {
        assert!(card.contains(part), "{part}: {card}");
    }
}

#[test]
fn every_image_format_gives_the_same_answer() {
    let (png, label) = test_image(3);
    let decoded = image::load_from_memory(&png).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for ending in ["png", "bmp", "gif", "webp", "jpg", "tif"] {
        decoded.to_rgb8().save(dir.path().join(format!("x.{ending}"))).unwrap();
    }
    let result = json(&succeed("infer", dir.path(), ["predict", ".", "--json"]));
    let labels: Vec<&str> =
        result["predictions"].as_array().unwrap().iter().filter_map(|p| p["label"].as_str()).collect();
    assert_eq!(labels, [label.as_str(); 6]);
}

#[test]
fn bench_measures_every_combination() {
    let arguments = ["bench", "mnist-lite", "--batch", "1,9", "--threads", "1,2", "--seconds", "0", "--json"];
    let result = json(&succeed("infer", &root(), arguments));
    let speeds: Vec<&serde_json::Value> = result.as_array().unwrap().iter().map(|r| &r["speed"]).collect();
    let combinations: Vec<_> = speeds.iter().map(|s| (s["threads"].as_u64(), s["batch"].as_u64())).collect();
    let expected = [(1, 1), (1, 9), (2, 1), (2, 9)].map(|(threads, batch)| (Some(threads), Some(batch)));
    assert_eq!(combinations, expected);
    for speed in speeds {
        let number = |field: &str| speed[field].as_f64().unwrap();
        assert!(number("p50_us") > 0.0 && number("p99_us") >= number("p50_us"), "{speed}");
        assert!(number("images_per_second") > 0.0, "{speed}");
    }
    // What is mistyped is found before the first is measured.
    for (arguments, expected) in [
        (["mnist-lite", "nobody", "--batch", "1"], "nobody"),
        (["mnist-lite", "mnist-fast", "--batch", "1,0"], "batch 0"),
        (["mnist-lite", "mnist-fast", "--threads", "1,2000"], "threads 2000"),
        (["mnist-lite", "mnist-fast", "--seconds", "-1"], "--seconds -1"),
    ] {
        let start = std::time::Instant::now();
        let outcome = tests::run("infer", &root(), [&["bench"][..], &arguments].concat());
        tests::assert_refused(expected, &outcome, &[expected]);
        assert!(start.elapsed().as_secs_f64() < 0.9, "{expected}: {:?}", start.elapsed());
    }
}

/// A mistyped folder of datasets is no failed check.
#[test]
fn verify_tells_a_mistyped_folder_from_other_data() {
    let outcome = tests::run("infer", &root(), ["verify", "mnist-lite", "--datasets", "nowhere"]);
    tests::assert_refused("nowhere", &outcome, &["--datasets nowhere: no such folder"]);
}

#[test]
fn a_network_is_run_on_tensors_that_are_named_as_they_should_be() {
    let dir = tempfile::tempdir().unwrap();
    let (model, data) = (root().join("zoo/models/mnist-lite/1/model.onnx"), dir.path().join("data"));
    tests::copy_dir(&root().join("zoo/models/mnist-lite/1/test_data_set_0"), &data).unwrap();
    let run = |inputs: &str, out: &str| {
        let arguments = ["run", model.to_str().unwrap(), "--inputs", inputs, "--out", out];
        tests::run("infer", dir.path(), arguments)
    };
    let expected = std::fs::read(data.join("output_0.pb")).unwrap();
    tests::assert_refused("what is expected", &run("data", "./data"), &["is the same file as data"]);
    assert_eq!(std::fs::read(data.join("output_0.pb")).unwrap(), expected);
    assert_eq!(run("data", "out").code, Some(0));
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    tests::assert_refused("nothing", &run("empty", "out"), &["empty: without input_0.pb: ", "model.onnx: "]);
    std::fs::write(data.join("input_x.pb"), "").unwrap();
    tests::assert_refused("a name", &run("data", "out"), &["input_x.pb: expected input_<number>.pb"]);
    std::fs::remove_file(data.join("input_x.pb")).unwrap();
    std::fs::copy(root().join("docs/seven.png"), data.join("input_0.pb")).unwrap();
    let picture = run("data", "out");
    tests::assert_refused("a picture", &picture, &["input_0.pb: not a TensorProto"]);
    assert!(!picture.stderr.contains("ONNX model"), "{picture:?}");
}

#[test]
fn the_datasets_own_images_pass_unchanged() {
    for name in ["mnist", "fashion-mnist"] {
        let dataset = datasets::Dataset::find(&root().join("datasets"), name).unwrap();
        for split in [datasets::Split::Train, datasets::Split::Test] {
            let samples = dataset.load(split).unwrap();
            let changed = (0..samples.len()).filter(|&index| {
                let pixels = samples.image(index);
                let image = image::GrayImage::from_raw(28, 28, pixels.to_vec()).unwrap();
                let how = &dataset.description.preprocessing;
                infer::preprocess::preprocess(&image.into(), how, samples.shape) != pixels
            });
            assert_eq!(changed.count(), 0, "{name} {split:?}");
        }
    }
}

/// Clothes as a shop shows them: large, dark on white, with a margin, off the middle.
#[test]
fn photographs_of_clothes_on_white_are_read_as_well_as_the_originals() {
    let fashion = datasets::Dataset::find(&root().join("datasets"), "fashion-mnist").unwrap();
    let samples = fashion.load(datasets::Split::Test).unwrap();
    let predictor = infer::Predictor::open(&root().join("zoo"), "fashion-cnn@1").unwrap();
    let (mut originals, mut photographs) = (0, 0);
    let count = 300;
    for index in 0..count {
        let label = &fashion.description.classes[usize::from(samples.labels[index])];
        let pixels = samples.image(index);
        let photograph = image::GrayImage::from_fn(400, 360, |x, y| {
            let inside = (70..350).contains(&x) && (30..310).contains(&y);
            let place = || ((y - 30) / 10 * 28 + (x - 70) / 10) as usize;
            image::Luma([if inside { 255 - pixels[place()] } else { 255 }])
        });
        originals += usize::from(predictor.predict_pixels(pixels.to_vec()).unwrap().label == *label);
        photographs += usize::from(predictor.predict(&photograph.into()).unwrap().label == *label);
    }
    println!("originals {originals}/{count}, photographs {photographs}/{count}");
    assert!(photographs * 100 >= originals * 95, "originals {originals}, photographs {photographs}");
}
