//! A user's own images: imported, trained, published, predicted, verified.

use std::path::Path;

use image::{DynamicImage, GrayImage, Luma, Rgb, RgbImage};
use tests::{assert_refused, run, succeed};

pub(crate) const RECIPE: &str = "name: stripes
description: Which way stripes run.
dataset: stripes
seed: 1
split: {validation: 20}
network:
- conv2d: {features: 8, kernel_size: 3}
- relu
- global_avg_pool
- dense: {features: 3}
- softmax
optimizer: {adam: {}}
schedule: {constant: {learning_rate: 0.02}}
epochs: 12
batch_size: 10
";

/// A coloured picture of a class: red and blue stripes, or green dots, with some noise.
pub(crate) fn picture(class: usize, index: u32, side: u32) -> DynamicImage {
    let image = RgbImage::from_fn(side, side, |x, y| {
        let noise = (x.wrapping_mul(31) ^ y.wrapping_mul(57) ^ index.wrapping_mul(7919)) % 40;
        let on = match class {
            0 => (x + index) % 4 < 2,
            1 => (y + index) % 4 < 2,
            _ => (x + index) % 4 < 2 && y % 4 < 2,
        };
        let level = noise as u8 + if on { 180 } else { 10 };
        match class {
            0 | 1 => Rgb([level, 20, 220 - level]),
            _ => Rgb([10, level, 10]),
        }
    });
    image.into()
}

pub(crate) const CLASSES: [&str; 3] = ["across", "down", "dots"];

pub(crate) fn folder(dir: &Path, count: u32) {
    for (class, name) in CLASSES.iter().enumerate() {
        let folder = dir.join("pictures").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        for index in 0..count {
            picture(class, index, 16).save(folder.join(format!("{index:03}.png"))).unwrap();
        }
    }
}

#[test]
fn folders_of_colour_images_all_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    folder(dir, 60);
    let found =
        succeed("trainer", dir, ["import", "pictures", "--name", "stripes", "--size", "12x14", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found["image"], serde_json::json!([3, 12, 14]));
    assert_eq!(
        found["classes"][1],
        serde_json::json!({"name": "dots", "train": 48, "validation": 0, "test": 12})
    );

    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(dir.join("datasets/stripes")).unwrap().permissions().mode();
        assert_eq!(mode & 0o055, 0o055, "others may read a dataset: {mode:o}");
    }

    std::fs::write(dir.join("recipe.yaml"), RECIPE).unwrap();
    let published = succeed("trainer", dir, ["publish", "recipe.yaml", "--json"]);
    let published: serde_json::Value = serde_json::from_str(&published).unwrap();
    let manifest: zoo::Manifest = serde_json::from_value(published[0]["manifest"].clone()).unwrap();
    assert!(manifest.test.correct.share() > 0.9, "{}", manifest.test.correct);
    for (class, name) in CLASSES.iter().enumerate() {
        picture(class, 777, 33).save(dir.join("new.png")).unwrap();
        let answer = succeed("infer", dir, ["predict", "new.png", "--model", "stripes"]);
        assert!(answer.starts_with(&format!("new.png: {name} ")), "{name}: {answer}");
    }
    succeed("infer", dir, ["verify"]);
}

#[test]
fn a_source_with_its_own_test_split_and_idx() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for split in ["train", "test"] {
        for (class, name) in ["a", "b"].iter().enumerate() {
            let folder = dir.join("own").join(split).join(name);
            std::fs::create_dir_all(&folder).unwrap();
            for index in 0..25u8 {
                let test = u8::from(split == "test");
                let image = GrayImage::from_fn(5, 4, |x, y| {
                    Luma([(x * y) as u8 + 40 * class as u8 + index + 100 * test])
                });
                image.save(folder.join(format!("{index}.png"))).unwrap();
            }
        }
    }
    let text = succeed("trainer", dir, ["import", "own", "--name", "own"]);
    assert!(text.contains("50 training, 50 test images of [1, 4, 5]"), "{text}");

    // The dataset that came out, imported again as IDX, has the same images.
    let own = datasets::Dataset::open(&dir.join("datasets/own")).unwrap();
    let file = |entry: &datasets::FileEntry| dir.join("datasets/own").join(&entry.file).display().to_string();
    let description = &own.description;
    let arguments = [
        "import".to_owned(),
        file(&description.train.images),
        format!("--labels={}", file(&description.train.labels)),
        format!("--test-images={}", file(&description.test.images)),
        format!("--test-labels={}", file(&description.test.labels)),
        "--name=again".into(),
        "--classes=a,b".into(),
    ];
    succeed("trainer", dir, arguments);
    let again = datasets::Dataset::open(&dir.join("datasets/again")).unwrap();
    assert_eq!((again.files(), &again.description.normalisation), (own.files(), &description.normalisation));
}

#[test]
fn what_is_wrong_with_a_source_is_said_and_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    folder(dir, 3);
    std::fs::write(dir.join("pictures/dots/broken.png"), b"\x89PNG\r\n\x1a\nbroken").unwrap();
    let import = |arguments: &[&str]| run("trainer", dir, [&["import"], arguments].concat());
    let row = |row: &str, arguments: &[&str], expected: &str| {
        assert_refused(row, &import(arguments), &[expected]);
        assert!(
            !dir.join("datasets").exists()
                || std::fs::read_dir(dir.join("datasets")).unwrap().next().is_none(),
            "{row}"
        );
    };
    row("a broken image", &["pictures", "--name", "x"], "broken.png");
    row("a folder that is not there", &["nowhere", "--name", "x"], "nowhere: No such file");
    row("one class", &["pictures/dots", "--name", "x"], "in no folder of a class");
    row("a name that leaves the folder", &["pictures", "--name", "../x"], "name");
    row("a size that is none", &["pictures", "--name", "x", "--size", "12"], "HEIGHTxWIDTH");
    row("a share of everything", &["pictures", "--name", "x", "--test-share", "1"], "above 0 and below 1");
    row("one image", &["pictures/dots/broken.png", "--name", "x"], "one image; expected a folder");
    picture(0, 1, 20).save(dir.join("pictures/dots/larger.png")).unwrap();
    row("two sizes", &["pictures", "--name", "x", "--skip-unreadable"], "choose a --size");
    // As many images after it as no queue has room for.
    (1..200).for_each(|n| picture(0, n, 8).save(dir.join(format!("pictures/dots/many-{n}.png"))).unwrap());
    std::fs::rename(dir.join("pictures/dots/larger.png"), dir.join("pictures/dots/a-larger.png")).unwrap();
    row("two sizes, and many images", &["pictures", "--name", "x", "--skip-unreadable"], "choose a --size");
    (1..200).for_each(|n| std::fs::remove_file(dir.join(format!("pictures/dots/many-{n}.png"))).unwrap());

    let kept = ["pictures", "--name", "x", "--skip-unreadable", "--size", "8x8"];
    let outcome = import(&kept);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(
        outcome.stdout.contains("left out, unreadable: ") && outcome.stderr.contains("only 1 training"),
        "{outcome:?}"
    );
    assert_refused("a name that is taken", &import(&kept), &["is there already"]);
}

/// Names of folders and files are of strangers, in archives.
#[cfg(unix)]
#[test]
fn names_forge_no_lines_of_the_report() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    folder(dir, 10);
    std::fs::rename(dir.join("pictures/dots"), dir.join("pictures/dots\nwarning: fake")).unwrap();
    std::fs::write(dir.join("pictures/down/z\nnearly equal: fake.txt"), "x").unwrap();
    let outcome = run("trainer", dir, ["import", "pictures", "--name", "x"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stdout.contains(r"dots\nwarning: fake  "), "{outcome:?}");
    assert!(
        outcome.stdout.contains(r"left out: down/z\nnearly equal: fake.txt: not an image"),
        "{outcome:?}"
    );
    let text = outcome.stdout + &outcome.stderr;
    assert!(!text.contains("\nwarning: fake") && !text.contains("\nnearly equal: fake"), "{text}");
}
