//! Bad images, manifests and ONNX files: a clear error, exit code 2, no panic.

use std::path::Path;

use datasets::Digest;
use tests::{assert_refused, copy_dir, root, run, run_with_input};

fn png() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let image = image::GrayImage::from_fn(40, 40, |x, y| image::Luma([(x * y % 256) as u8]));
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn images() {
    let good = png();
    let mut wrong_crc = good.clone();
    let middle = wrong_crc.len() / 2;
    wrong_crc[middle] ^= 0xff;
    // IHDR says 2^31 - 1 columns and rows (with the right checksum, so that only the size is wrong).
    let mut huge = good.clone();
    huge[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
    let crc = crc32(&huge[12..29]);
    huge[29..33].copy_from_slice(&crc.to_be_bytes());
    let mut jpeg = std::io::Cursor::new(Vec::new());
    image::load_from_memory(&good).unwrap().write_to(&mut jpeg, image::ImageFormat::Jpeg).unwrap();
    let jpeg = jpeg.into_inner();
    let rows: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], "the file is empty"),
        ("text", b"hello".to_vec(), "not an image; expected PNG"),
        ("an unsupported format", b"II*\0\x08\0\0\0".to_vec(), "-: "),
        ("PNG signature only", good[..8].to_vec(), "-: "),
        ("truncated PNG", good[..good.len() / 2].to_vec(), "not a whole PNG file"),
        ("PNG with damaged data", wrong_crc, "-: "),
        ("PNG of 2^31 columns", huge, "-: "),
        ("truncated JPEG header", jpeg[..20].to_vec(), "-: "),
        ("GIF header only", b"GIF89a".to_vec(), "-: "),
        ("BMP header only", b"BM\0\0\0\0".to_vec(), "-: "),
        ("WebP header only", b"RIFF\x10\0\0\0WEBPVP8 ".to_vec(), "-: "),
    ];
    for (row, bytes, expected) in rows {
        let outcome = run_with_input("infer", &root(), &["predict", "-"], &bytes);
        assert_refused(row, &outcome, &[expected]);
    }
}

/// CRC-32 as PNG uses it.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0u32, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}

#[test]
fn paths_and_names() {
    let empty = tempfile::tempdir().unwrap();
    let folder = empty.path().to_str().unwrap();
    let rows: [(&str, Vec<&str>, &str); 12] = [
        ("no such file", vec!["predict", "no-such.png"], "no-such.png: "),
        ("a folder without images", vec!["predict", folder], "no images in this folder"),
        ("no images to a call", vec!["bench", "--batch", "0"], "batch 0, expected 1 to 100000"),
        ("far too many", vec!["bench", "--batch", "18446744073709551615"], "expected 1 to 100000"),
        ("no threads", vec!["bench", "--threads", "1,0"], "threads 0, expected 1 to 1024"),
        ("negative time", vec!["bench", "--seconds=-1"], "--seconds -1"),
        ("no such zoo", vec!["list", "--zoo", "/no/such"], "/no/such/models: not found"),
        (
            "no such model",
            vec!["predict", "x.png", "--model", "resnet"],
            "models here: fashion-best, fashion-cnn, fashion-lite, fashion-robust, mnist-best, mnist-cnn, mnist-fast, mnist-lite, mnist-robust",
        ),
        ("no such version", vec!["show", "mnist-cnn@999"], "versions of mnist-cnn here: [1"),
        ("version 0", vec!["show", "mnist-cnn@0"], "a version from 1"),
        ("a name that leaves the zoo", vec!["show", "../../etc"], "is not a model name"),
        ("an empty zoo", vec!["verify", "--zoo", folder], "not found"),
    ];
    for (row, arguments, expected) in rows {
        assert_refused(row, &run("infer", &root(), &arguments), &[expected]);
    }
}

/// Predicts with a copy of the published model after `change` has been at its folder.
fn with_changed_model(change: impl FnOnce(&Path)) -> tests::Outcome {
    let dir = tempfile::tempdir().unwrap();
    let version = dir.path().join("zoo/models/mnist-cnn/1");
    copy_dir(&root().join("zoo/models/mnist-cnn/1"), &version).unwrap();
    change(&version);
    run_with_input("infer", dir.path(), &["predict", "-", "--model", "mnist-cnn", "--zoo", "zoo"], &png())
}

#[test]
fn manifests() {
    let original = std::fs::read_to_string(root().join("zoo/models/mnist-cnn/1/manifest.yaml")).unwrap();
    let sha256 =
        Digest::of(&std::fs::read(root().join("zoo/models/mnist-cnn/1/model.onnx")).unwrap()).to_string();
    let replace = |from: &str, to: &str| {
        assert!(original.contains(from), "{from} is not in the manifest");
        original.replacen(from, to, 1)
    };
    let rows: Vec<(&str, String, &str)> = vec![
        ("empty", String::new(), "the file is empty"),
        ("not YAML", "{ [".into(), "manifest.yaml: "),
        ("a list", "- 1\n".into(), "manifest.yaml: "),
        ("an unknown key", replace("schema: 1\n", "schema: 1\nnonsense: 2\n"), "unknown field `nonsense`"),
        ("a missing key", replace("version: 1\n", ""), "missing field `version`"),
        ("a key twice", replace("schema: 1\n", "schema: 1\nschema: 1\n"), "duplicate field `schema`"),
        ("schema of the future", replace("schema: 1\n", "schema: 2\n"), "schema: found 2, expected 1"),
        (
            "another name",
            replace("name: mnist-cnn\n", "name: other\n"),
            "found other 1, expected mnist-cnn 1",
        ),
        (
            "another version",
            replace("version: 1\n", "version: 7\n"),
            "found mnist-cnn 7, expected mnist-cnn 1",
        ),
        ("version 0", replace("version: 1\n", "version: 0\n"), "version: found 0"),
        ("no sha256", replace(&sha256, "abc"), "is not a sha256"),
        (
            "a path out of the folder",
            replace("  history.csv:", "  ../../history.csv:"),
            "files: found `../../history.csv`",
        ),
        ("a second ONNX file", replace("  history.csv:", "  history.onnx:"), "found 2 *.onnx files"),
        (
            "a wrong input type",
            replace("dtype: uint8", "dtype: float32"),
            "input.dtype: found float32, expected uint8",
        ),
        ("a huge image", replace("  - 28\n  - 28\n", "  - 28\n  - 99999999\n"), "input.shape: found"),
        ("a count that is none", replace("correct: 9", "correct: x9"), "expected `correct/total`"),
        ("counts that do not add up", bump_total(&original), "the sum over test.per_class"),
        ("a label less", replace("- '9'\n", ""), "expected [N, 9], one for each label"),
        ("an unknown preprocessing", replace("preprocessing: mnist", "preprocessing: magic"), "magic"),
    ];
    for (row, text, expected) in rows {
        let outcome =
            with_changed_model(|version| std::fs::write(version.join("manifest.yaml"), &text).unwrap());
        assert_refused(row, &outcome, &[expected]);
    }
    let outcome =
        with_changed_model(|version| std::fs::write(version.join("manifest.yaml"), [0xff, 0xfe]).unwrap());
    assert_refused("not UTF-8", &outcome, &["invalid UTF-8 at byte 0"]);
    let outcome = with_changed_model(|version| std::fs::remove_file(version.join("manifest.yaml")).unwrap());
    assert_refused("no manifest", &outcome, &["manifest.yaml: not found"]);
}

/// One right answer more in the sum than in the classes.
fn bump_total(manifest: &str) -> String {
    let mut manifest: zoo::Manifest = datasets::yaml::parse(manifest, Path::new("m")).unwrap();
    manifest.test.correct.correct += 1;
    datasets::yaml::to_string(&manifest).unwrap()
}

#[test]
fn onnx_files_that_do_not_match_their_hash() {
    type Row = (&'static str, fn(&Path), &'static str);
    let rows: [Row; 4] = [
        ("one bit flipped", |path| flip(path), "model.onnx: changed: sha256"),
        (
            "truncated",
            |path| std::fs::write(path, &std::fs::read(path).unwrap()[..1000]).unwrap(),
            "changed: 1000 bytes",
        ),
        ("missing", |path| std::fs::remove_file(path).unwrap(), "model.onnx: missing"),
        (
            "a Git LFS pointer",
            |path| {
                std::fs::write(path, "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n")
                    .unwrap();
            },
            "git lfs pull",
        ),
    ];
    for (row, change, expected) in rows {
        let outcome = with_changed_model(|version| change(&version.join("model.onnx")));
        assert_refused(row, &outcome, &[expected]);
    }
}

fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn onnx_files_with_the_right_hash_that_are_no_usable_network() {
    let good = std::fs::read(root().join("zoo/models/mnist-cnn/1/model.onnx")).unwrap();
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("empty", vec![]),
        ("text", b"this is not protobuf at all".to_vec()),
        ("truncated", good[..good.len() / 2].to_vec()),
        ("the header only", good[..200].to_vec()),
        ("random bytes", (0..5000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()),
        ("operator set of the future", swap(&good, b"Softmax", b"Sofdmax")),
        ("a tensor that is used but not there", swap(&good, b"conv1.weight", b"conv9.weight")),
    ];
    for (row, bytes) in rows {
        let outcome = with_changed_model(|version| {
            let path = version.join("manifest.yaml");
            let mut manifest: zoo::Manifest = datasets::yaml::read(&path).unwrap();
            let record = zoo::FileRecord { bytes: bytes.len() as u64, sha256: Digest::of(&bytes) };
            manifest.files.insert("model.onnx".into(), record);
            std::fs::write(path, datasets::yaml::to_string(&manifest).unwrap()).unwrap();
            std::fs::write(version.join("model.onnx"), &bytes).unwrap();
        });
        assert_refused(row, &outcome, &["model.onnx: not a usable ONNX model"]);
    }
}

/// Replaces the first occurrence of `from` by `to`, of the same length.
fn swap(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let place = bytes.windows(from.len()).position(|window| window == from).unwrap();
    let mut out = bytes.to_vec();
    out[place..place + from.len()].copy_from_slice(to);
    out
}
