//! Bad IDX files, descriptions and recipes: a clear error, exit code 2, no panic.

use std::io::Write;
use std::path::Path;

use datasets::{Digest, Idx};
use tests::{assert_refused, run, tiny_dataset};

const RECIPE: &str = include_str!("../data/tiny.yaml");

fn train(dir: &Path, recipe: impl AsRef<[u8]>) -> tests::Outcome {
    std::fs::write(dir.join("recipe.yaml"), recipe).unwrap();
    run("trainer", dir, ["train", "recipe.yaml", "--run", "run"])
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn idx_files() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = tiny_dataset(dir.path(), 40, 20).unwrap();
    let path = dataset.join("train-images-idx3-ubyte.gz");
    let good = std::fs::read(&path).unwrap();
    let with = |place: usize, bytes: &[u8]| {
        let mut changed = good.clone();
        changed[place..place + bytes.len()].copy_from_slice(bytes);
        changed
    };
    let zipped = gzip(&good);
    let rows: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], "magic: found the end of the file after 0 bytes, expected 4 bytes"),
        ("text", b"not an IDX file".to_vec(), "magic: found 0x6e6f7420, expected two zero bytes"),
        ("an unknown type code", with(2, &[0x0a]), "type code: found 0x0a"),
        ("rank 0", with(3, &[0]), "rank: found 0"),
        (
            "ends in the dimensions",
            good[..10].to_vec(),
            "dimension 1: found the end of the file after 2 bytes",
        ),
        ("ends in the elements", good[..1000].to_vec(), "elements: found 984 bytes, expected 31360 bytes"),
        ("too long", [good.as_slice(), &[0]].concat(), "elements: found more bytes, expected 31360"),
        ("dimensions whose product overflows", with(4, &[0xff; 12]), "dimensions: found"),
        ("2^32 - 1 images declared", with(4, &[0xff; 4]), "dimensions: found"),
        ("a cut gzip stream", zipped[..zipped.len() / 2].to_vec(), "gzip stream: found"),
        ("a damaged gzip stream", damaged(&zipped), "train-images"),
        ("gzip header only", zipped[..10].to_vec(), "train-images"),
        ("one pixel changed", with(5000, &[77]), "sha256 of the decompressed bytes: found"),
        (
            "labels in the place of images",
            std::fs::read(dataset.join("train-labels-idx1-ubyte.gz")).unwrap(),
            "sha256",
        ),
    ];
    for (row, bytes, expected) in rows {
        std::fs::write(&path, bytes).unwrap();
        assert_refused(row, &train(dir.path(), RECIPE), &["train-images-idx3-ubyte.gz", expected]);
    }
    std::fs::remove_file(&path).unwrap();
    assert_refused("a missing file without mirrors", &train(dir.path(), RECIPE), &["names no mirrors"]);
}

fn damaged(zipped: &[u8]) -> Vec<u8> {
    let mut bytes = zipped.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 20].fill(0xff);
    bytes
}

/// IDX files that are well formed and have the described hash, but do not fit together.
#[test]
fn files_that_contradict_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let rows: Vec<(&str, &str, Idx, &str)> = vec![
        (
            "a label too few",
            "train-labels-idx1-ubyte.gz",
            Idx::new_u8(&[39], vec![0; 39]).unwrap(),
            "label shape: found [39], expected [40]",
        ),
        (
            "a label out of range",
            "train-labels-idx1-ubyte.gz",
            Idx::new_u8(&[40], vec![10; 40]).unwrap(),
            "labels[0]: found 10, expected 0 to 9",
        ),
        (
            "labels of rank 2",
            "train-labels-idx1-ubyte.gz",
            Idx::new_u8(&[40, 1], vec![0; 40]).unwrap(),
            "label shape: found [40, 1]",
        ),
        (
            "narrower images",
            "train-images-idx3-ubyte.gz",
            Idx::new_u8(&[40, 28, 27], vec![0; 40 * 756]).unwrap(),
            "image shape: found [40, 28, 27]",
        ),
        (
            "images of rank 2",
            "train-images-idx3-ubyte.gz",
            Idx::new_u8(&[40, 784], vec![0; 40 * 784]).unwrap(),
            "image shape: found [40, 784]",
        ),
    ];
    for (row, file, idx, expected) in rows {
        let dataset = tiny_dataset(dir.path(), 40, 20).unwrap();
        let path = dataset.join("dataset.yaml");
        let old = Digest::of(&std::fs::read(dataset.join(file)).unwrap()).to_string();
        let text = std::fs::read_to_string(&path).unwrap().replace(&old, &idx.sha256.to_string());
        std::fs::write(path, text).unwrap();
        std::fs::write(dataset.join(file), idx.to_bytes()).unwrap();
        assert_refused(row, &train(dir.path(), RECIPE), &[file, expected]);
    }
}

#[test]
fn descriptions() {
    let dir = tempfile::tempdir().unwrap();
    let rows: [(&str, &str, &str, &str); 8] = [
        ("an unknown key", "name: tiny\n", "name: tiny\ncolour: red\n", "unknown field `colour`"),
        (
            "another name",
            "name: tiny\n",
            "name: other\n",
            "name: found `other`, expected `tiny`, as its folder",
        ),
        ("a class twice", "'9'", "'8'", "classes: found \"8\", expected names, each once"),
        ("a class without a name", "'9'", "' '", "classes: found \" \", expected names"),
        ("no channels", "channels: 1", "channels: 0", "image: found 0x28x28"),
        (
            "a standard deviation of 0",
            "std: [0.3081078038564627]",
            "std: [0]",
            "normalisation.std: found [0.0]",
        ),
        ("two means", "mean: [0.1306604762738429]", "mean: [0.1, 0.2]", "normalisation.mean"),
        (
            "a file outside the folder",
            "file: train-images",
            "file: ../train-images",
            "expected a plain file name",
        ),
    ];
    for (row, from, to, expected) in rows {
        let path = tiny_dataset(dir.path(), 40, 20).unwrap().join("dataset.yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{row}");
        std::fs::write(path, text.replace(from, to)).unwrap();
        assert_refused(row, &train(dir.path(), RECIPE), &["dataset.yaml", expected]);
    }
}

#[test]
fn recipes() {
    let dir = tempfile::tempdir().unwrap();
    tiny_dataset(dir.path(), 40, 20).unwrap();
    let replace = |from: &str, to: &str| {
        assert!(RECIPE.contains(from), "{from} is not in the recipe");
        RECIPE.replacen(from, to, 1)
    };
    let rows: Vec<(&str, String, &str)> = vec![
        ("empty", String::new(), "the file is empty"),
        ("not YAML", "name: [".into(), "line"),
        ("two documents", format!("{RECIPE}\n---\nname: b\n"), "more than one YAML document"),
        ("an unknown key", replace("epochs: 2", "epochs: 2\nepocks: 3"), "unknown field `epocks`"),
        (
            "an unknown key in a layer",
            replace("kernel_size: 3", "kernel_sise: 3"),
            "unknown field `kernel_sise`",
        ),
        ("a missing key", replace("seed: 7\n", ""), "missing field `seed`"),
        ("a word for a number", replace("epochs: 2", "epochs: two"), "epochs"),
        ("an unknown layer", replace("- relu", "- rellu"), "rellu"),
        (
            "an unknown padding",
            replace("padding: same", "padding: reflect"),
            "padding `reflect`: expected `valid`",
        ),
        ("no epochs", replace("epochs: 2", "epochs: 0"), "epochs: found 0, expected 1 to 100000"),
        ("no batch", replace("batch_size: 50", "batch_size: 0"), "batch_size: found 0"),
        ("a negative learning rate", replace("peak: 0.01", "peak: -1"), "one_cycle.peak: found -1"),
        ("a momentum of 1", replace("adam: {}", "sgd: {momentum: 1}"), "optimizer.momentum: found 1"),
        (
            "smoothing of 1",
            replace("label_smoothing: 0.05", "label_smoothing: 1"),
            "label_smoothing: found 1",
        ),
        ("an average of 1", replace("ema: 0.9", "ema: 1"), "ema: found 1"),
        (
            "a hue beyond the circle",
            replace("rotate: 5", "colour: {hue: 999}"),
            "augmentation.colour.hue: found 999, expected 0 to 180",
        ),
        ("a turn of 999 degrees", replace("rotate: 5", "rotate: 999"), "augmentation.rotate: found 999"),
        (
            "outliers of a class that is not there",
            replace("epochs: 2", "epochs: 2\noutliers: {share: 0.25, mirrored: [1], turned: [77]}"),
            "outliers.turned: found 77, expected classes of the dataset",
        ),
        (
            "an upstroke of a class that is not there",
            replace("rotate: 5", "upstroke: {probability: 0.5, classes: [1, 99]}"),
            "augmentation.upstroke.classes: found 99",
        ),
        (
            "a contrast divided by less than 1",
            replace("rotate: 5", "tone: {probability: 0.5, strength: 0.5}"),
            "augmentation.tone.strength: found 0.5, expected 1 to 100",
        ),
        ("no threads", replace("threads: 2", "threads: 0"), "numeric_profile.threads: found 0"),
        ("a name with a slash", replace("name: tiny", "name: ti/ny"), "name: found ti/ny"),
        (
            "a dataset outside",
            replace("dataset: tiny", "dataset: ../tiny"),
            "dataset: found `../tiny`, expected letters",
        ),
        (
            "no such dataset",
            replace("dataset: tiny", "dataset: none"),
            "datasets/none/dataset.yaml: file not found",
        ),
        (
            "more validation than images",
            replace("validation: 10", "validation: 40"),
            "split.validation: found 40",
        ),
        (
            "choosing without validation",
            replace("validation: 10", "validation: 0"),
            "split.validation: found 0",
        ),
        (
            "a kernel that does not fit",
            replace("kernel_size: 3, padding: same", "kernel_size: 40"),
            "layer 1 (conv2d), input [1, 28, 28]: kernel_size 40 does not fit: with padding the image is [28, 28]",
        ),
        (
            "a stride of 0",
            replace("kernel_size: 2, stride: 2", "kernel_size: 2, stride: 0"),
            "layer 4 (max_pool), input [8, 28, 28]: stride 0",
        ),
        (
            "dense on an image",
            replace("- flatten\n", ""),
            "layer 8 (dense), input [16, 7, 7]: needs [F], not an image; put flatten before it to get [784]",
        ),
        (
            "a residual block that cannot be added",
            replace("- conv2d: {features: 16, kernel_size: 3, stride: 2, padding: 1}", "- flatten"),
            "layer 5 (residual), input [8, 14, 14]: its body gives [1568]",
        ),
        (
            "an ensemble before other layers",
            replace("- flatten\n", "- ensemble: {members: [[flatten], [flatten]]}\n"),
            "(ensemble), input [16, 7, 7]: an ensemble may only stand right before the softmax",
        ),
        (
            "an ensemble of one",
            replace("- softmax\n", "- ensemble: {members: [[relu]]}\n- softmax\n"),
            "1 members: expected 2 to 32",
        ),
        (
            "a member without layers",
            replace("- softmax\n", "- ensemble: {members: [[relu], []]}\n- softmax\n"),
            ".2 (ensemble), input [10]: a member without layers",
        ),
        (
            "members of different classes",
            replace("- softmax\n", "- ensemble: {members: [[relu], [{dense: {features: 7}}]]}\n- softmax\n"),
            "ensemble1.member2 gives [7], ensemble1.member1 [10]",
        ),
        (
            "a member that gives an image",
            replace("- flatten\n", "- ensemble: {members: [[relu], [flatten]]}\n- flatten\n"),
            "ensemble1.member1 gives [16, 7, 7], not [classes]",
        ),
        (
            "an ensemble in an ensemble",
            replace(
                "- softmax\n",
                "- ensemble: {members: [[relu], [{ensemble: {members: [[relu], [relu]]}}]]}\n- softmax\n",
            ),
            ".2.1 (ensemble), input [10]: an ensemble may not stand inside another block",
        ),
        (
            "groups of no channels",
            replace("kernel_size: 3, padding: same", "kernel_size: 3, groups: 0"),
            "groups 0: expected 1",
        ),
        (
            "groups that do not divide",
            replace(
                "kernel_size: 3, stride: 2, padding: 1",
                "kernel_size: 3, stride: 2, padding: 1, groups: 3",
            ),
            "layer 5.1 (conv2d), input [8, 14, 14]: groups 3: expected a divisor of the 8 channels",
        ),
        (
            "a dilation that does not fit",
            replace("kernel_size: 3, padding: same", "kernel_size: 3, dilation: 14"),
            "kernel_size 3 with dilation 14 does not fit: with padding the image is [28, 28], and at least [29, 29]",
        ),
        (
            "normalisation of one value",
            replace("- flatten\n", "- flatten\n- dense: {features: 1}\n- batch_norm\n- layer_norm\n"),
            "(layer_norm), input [1]: needs two values or more",
        ),
        (
            "batch normalisation of one image",
            replace("batch_size: 50", "batch_size: 29").replacen(
                "- flatten\n",
                "- flatten\n- batch_norm\n",
                1,
            ),
            "batch_size: found 29, which leaves a last batch of 1 of 30 training images, expected batches of 2",
        ),
        (
            "batches of one image",
            replace("batch_size: 50", "batch_size: 1").replacen(
                "- flatten\n",
                "- flatten\n- batch_norm\n",
                1,
            ),
            "expected batches of 2 or more",
        ),
        (
            "a layer without its fields",
            replace("- flatten\n", "- dense\n"),
            "`dense` alone is not enough: missing field `features`",
        ),
        (
            "a number for a layer",
            replace("- flatten\n", "- 7\n"),
            "found 7, expected a layer (one of conv2d, relu",
        ),
        (
            "an unknown optimizer",
            replace("adam: {}", "adamm: {}"),
            "`adamm` is not an optimizer; expected one of adam",
        ),
        (
            "words for fields",
            replace("split: {validation: 10}", "split: ten"),
            "split: found \"ten\", expected fields",
        ),
        ("half an epoch", replace("epochs: 2", "epochs: 1.5"), "epochs: found 1.5, expected a whole number"),
        ("dropout of everything", replace("rate: 0.2", "rate: 1"), "(dropout), input [784]: rate 1"),
        ("too few classes", replace("features: 10", "features: 9"), "the data set has 10 classes"),
        ("no softmax", replace("- softmax\n", ""), "the last layer must be softmax"),
        (
            "softmax in the middle",
            replace("- flatten\n", "- flatten\n- softmax\n"),
            "softmax may only be the last layer",
        ),
        ("no layers", replace(&layers(), "network: []\n"), "the last layer must be softmax"),
        (
            "a tensor that is too large",
            replace(
                "features: 8, kernel_size: 3, padding: same",
                "features: 65536, kernel_size: 28, padding: 60000",
            ),
            "layer 1 (conv2d), input [1, 28, 28]: padding: expected a padded image of at most 65536",
        ),
        (
            "a tensor that is too large",
            replace(
                "features: 8, kernel_size: 3, padding: same",
                "features: 65536, kernel_size: 28, padding: 3000",
            ),
            "a tensor [65536, 6001, 6001]: expected at most 1073741824 values",
        ),
        (
            "4 billion features",
            replace("features: 10", "features: 4000000000"),
            "features 4000000000: expected 1 to 65536",
        ),
    ];
    for (row, text, expected) in rows {
        let outcome = train(dir.path(), text);
        // What is wrong with the recipe names its file.
        let file = if row == "no such dataset" { "" } else { "recipe.yaml: " };
        assert_refused(row, &outcome, &[file, expected]);
        for word in ["usize", "u32", "f64", "struct ", "variant"] {
            assert!(!outcome.stderr.contains(word), "{row}: {}", outcome.stderr);
        }
    }
    // Refused before a weight is made: 16 GiB each.
    let huge = "- dense: {features: 65536}\n".repeat(16);
    let outcome = train(dir.path(), replace("- flatten\n", &format!("- flatten\n{huge}")));
    assert_refused("enormous weights", &outcome, &["a tensor [65536, 65536]: expected at most"]);
    assert_refused("not UTF-8", &train(dir.path(), [0xff, 0xfe, 0x00]), &["invalid UTF-8 at byte 0"]);
    let outcome = run("trainer", dir.path(), ["train", "no-such.yaml"]);
    assert_refused("no such file", &outcome, &["no-such.yaml: "]);
    let outcome = run("trainer", dir.path(), ["publish", "--run", "nowhere"]);
    assert_refused("no such run", &outcome, &["nowhere/recipe.yaml: "]);
}

/// The network part of the recipe.
fn layers() -> String {
    let start = RECIPE.find("network:\n").unwrap();
    let end = RECIPE.find("optimizer:").unwrap();
    RECIPE[start..end].to_owned()
}
