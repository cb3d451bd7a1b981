//! Folders and archives as they lie on people's disks.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::io::Write;

use common::{Place, counts, encoded, expect, png};
use image::ImageFormat;

#[test]
fn splits_in_any_spelling() {
    for (train, validation, test) in [
        ("train", None, "test"),
        ("Train", None, "Test"),
        ("train", Some("val"), "test"),
        ("training", Some("validation"), "testing"),
        ("Training Set", Some("Valid"), "Test Set"),
        ("seg_train/seg_train", None, "seg_test/seg_test"),
    ] {
        let place = Place::new();
        for (class, seed) in [("cat", 1), ("dog", 2)] {
            place.images(&format!("own/{train}/{class}"), 8, seed);
            place.images(&format!("own/{test}/{class}"), 3, seed + 10);
            if let Some(validation) = validation {
                place.images(&format!("own/{validation}/{class}"), 2, seed + 20);
            }
        }
        let found = place.import("own", |_| {}).unwrap();
        let held = if validation.is_some() { 2 } else { 0 };
        assert_eq!(counts(&found), expect(&[("cat", 8, held, 3), ("dog", 8, held, 3)]), "{train}");
        assert_eq!(found.left_out, [], "{train}");
        let (all, _, dataset) = place.load();
        assert_eq!((all.validation, dataset.description.validation), (2 * held, 2 * held));
        // The last ones are the validation images.
        let first = image::load_from_memory(&png(21_000)).unwrap().to_luma8();
        if held > 0 {
            assert_eq!(all.image(all.len() - 4), first.as_raw().as_slice());
        }
    }
}

#[test]
fn train_and_val_alone_leave_a_test_split_to_be_made() {
    let place = Place::new();
    for (class, seed) in [("cat", 1), ("dog", 2)] {
        place.images(&format!("own/train/{class}"), 20, seed);
        place.images(&format!("own/val/{class}"), 4, seed + 10);
    }
    let found = place.import("own", |_| {}).unwrap();
    assert_eq!(counts(&found), expect(&[("cat", 16, 4, 4), ("dog", 16, 4, 4)]));
}

#[test]
fn every_form_and_nested_folders_are_taken_and_litter_is_counted() {
    let place = Place::new();
    place.images("own/a", 10, 1);
    place.images("own/b", 10, 2);
    place.write("own/a/t.tif", encoded(30, ImageFormat::Tiff));
    place.write("own/a/T2.TIFF", encoded(31, ImageFormat::Tiff));
    place.write("own/a/j.jfif", encoded(32, ImageFormat::Jpeg));
    place.write("own/b/no-ending", encoded(33, ImageFormat::Png));
    place.write("own/b/g.gif", encoded(34, ImageFormat::Gif));
    place.write("own/b/w.webp", encoded(35, ImageFormat::WebP));
    place.images("own/b/june/first", 5, 3);
    for litter in [
        "own/.DS_Store",
        "own/a/._1.png",
        "own/a/Thumbs.db",
        "own/__MACOSX/a/._1.png",
        "own/.git/config",
        "own/b/desktop.ini",
        "own/a/.ipynb_checkpoints/1-checkpoint.png",
    ] {
        place.write(litter, "litter");
    }
    place.write("own/README.md", "read me");
    place.write("own/a/notes.txt", "not an image");
    std::fs::create_dir(place.path("own/empty")).unwrap();
    let found = place.import("own", |_| {}).unwrap();
    let total: usize = found.classes.iter().map(|class| class.train + class.test).sum();
    assert_eq!(total, 10 + 10 + 6 + 5);
    assert_eq!(found.litter, 7);
    let left: Vec<(&str, &str)> =
        found.left_out.iter().map(|out| (out.name.as_str(), out.why.as_str())).collect();
    let expected = [
        ("README.md", "not an image"),
        ("a/notes.txt", "not an image"),
        ("empty", "a class without an image"),
    ];
    assert_eq!(left, expected);
    assert!(
        found.notes[0].contains("\"b/june\"") && found.notes[0].contains("--class-level 2"),
        "{:?}",
        found.notes
    );
}

#[test]
fn folders_around_everything_and_unlabelled_images() {
    let place = Place::new();
    for (class, seed) in [("cat", 1), ("dog", 2)] {
        place.images(&format!("outer/inner/data/train/{class}"), 8, seed);
        place.images(&format!("outer/inner/data/test/{class}"), 3, seed + 10);
    }
    place.images("outer/inner/data/pred", 4, 9);
    let found = place.import("outer", |_| {}).unwrap();
    assert_eq!(counts(&found), expect(&[("cat", 8, 0, 3), ("dog", 8, 0, 3)]));
    assert_eq!(found.left_out.len(), 4);
    assert!(found.left_out[0].why.contains("beside the folders of train and test"));

    // A test split without classes tells nothing; one is made.
    let place = Place::new();
    place.images("own/train/cat", 8, 1);
    place.images("own/train/dog", 8, 2);
    place.images("own/test", 4, 3);
    let found = place.import("own", |_| {}).unwrap();
    assert_eq!(counts(&found), expect(&[("cat", 6, 0, 2), ("dog", 6, 0, 2)]));
    assert!(
        found.notes.iter().any(|note| note.starts_with("4 images of a split are in no folder")),
        "{:?}",
        found.notes
    );
}

#[test]
fn deeper_folders_can_be_the_classes() {
    let place = Place::new();
    for (folder, seed) in [("mammal/cat", 1), ("mammal/dog", 2), ("bird/owl", 3)] {
        place.images(&format!("own/{folder}"), 8, seed);
    }
    let outer = place.import("own", |_| {}).unwrap();
    assert_eq!(counts(&outer), expect(&[("bird", 6, 0, 2), ("mammal", 13, 0, 3)]));
    let inner = place.import("own", |request| {
        request.name = "y".into();
        request.class_level = Some(2);
    });
    assert_eq!(counts(&inner.unwrap()), expect(&[("cat", 6, 0, 2), ("dog", 6, 0, 2), ("owl", 6, 0, 2)]));
}

#[test]
fn archives_without_unpacking() {
    let files: Vec<(String, Vec<u8>)> = ["cat", "dog"]
        .iter()
        .zip([1, 2])
        .flat_map(|(class, seed)| {
            (0..8).map(move |i| (format!("pets/{class}/{i}.png"), png(seed * 1000 + i)))
        })
        .chain([
            ("__MACOSX/pets/cat/._0.png".to_owned(), b"litter".to_vec()),
            ("pets/x.txt".to_owned(), vec![1]),
        ])
        .collect();
    let place = Place::new();
    let mut zip = zip::ZipWriter::new(std::fs::File::create(place.path("a.zip")).unwrap());
    for (name, bytes) in &files {
        zip.start_file(name.as_str(), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
    let tar = |writer: Box<dyn Write>| {
        let mut tar = tar::Builder::new(writer);
        for (name, bytes) in &files {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_cksum();
            tar.append_data(&mut header, name, bytes.as_slice()).unwrap();
        }
        tar.finish().unwrap();
    };
    tar(Box::new(std::fs::File::create(place.path("a.tar")).unwrap()));
    let packed = std::fs::File::create(place.path("a.tar.gz")).unwrap();
    tar(Box::new(flate2::write::GzEncoder::new(packed, flate2::Compression::fast())));
    let mut made = Vec::new();
    for (source, name) in [("a.zip", "zip"), ("a.tar", "tar"), ("a.tar.gz", "tgz")] {
        let found = place.import(source, |request| request.name = name.into()).unwrap();
        assert_eq!(counts(&found), expect(&[("cat", 6, 0, 2), ("dog", 6, 0, 2)]), "{source}");
        assert_eq!((found.litter, found.left_out.len()), (1, 1), "{source}");
        made.push(std::fs::read(place.path(&format!("datasets/{name}/train-images-idx4-ubyte"))).unwrap());
    }
    assert!(made[0] == made[1] && made[1] == made[2], "the same bytes from each");

    let bytes = std::fs::read(place.path("a.zip")).unwrap();
    place.write("cut.zip", &bytes[..bytes.len() / 2]);
    let bytes = std::fs::read(place.path("a.tar.gz")).unwrap();
    place.write("cut.tar.gz", &bytes[..bytes.len() / 2]);
    for (source, magic, expected) in [
        ("cut.zip", None, "cut.zip"),
        ("cut.tar.gz", None, "broken tar file"),
        ("a.rar", Some(b"Rar!\x1a\x07\x00".as_slice()), "RAR archive"),
        ("a.7z", Some(b"7z\xbc\xaf\x27\x1c".as_slice()), "7z archive"),
    ] {
        if let Some(magic) = magic {
            place.write(source, magic);
        }
        let refused = place.import(source, |request| request.name = "z".into()).unwrap_err();
        assert!(refused.contains(expected), "{source}: {refused}");
    }
}

#[test]
fn equal_and_nearly_equal_images_are_found() {
    let place = Place::new();
    place.images("own/train/a", 10, 1);
    place.images("own/train/b", 10, 2);
    place.images("own/test/a", 5, 3);
    place.images("own/test/b", 5, 4);
    // The same again, in another split, with another label, and nearly the same in the test split.
    place.write("own/train/a/again.png", png(1003));
    place.write("own/train/a/tested.png", png(3001));
    place.write("own/train/b/wrong.png", png(1004));
    let mut near = common::picture(1005);
    near.pixels_mut().for_each(|pixel| pixel.0[0] = (f32::from(pixel.0[0]) * 0.9 + 10.0) as u8);
    near.save(place.path("own/test/a/near.png")).unwrap();
    let found = place.import("own", |_| {}).unwrap();
    assert_eq!((found.duplicates, found.leaked), (1, 1));
    assert_eq!(found.contradictions.len(), 1);
    assert!(found.contradictions[0].contains("wrong.png (b)"), "{:?}", found.contradictions);
    assert_eq!(found.near.len(), 1, "{:?}", found.near);
    assert!(found.near[0].across_splits && !found.near[0].different_labels);
    assert!(
        found.warnings.iter().any(|w| w.starts_with("1 pairs of nearly equal images")),
        "{:?}",
        found.warnings
    );
}

#[test]
fn options_that_do_not_apply_and_sources_that_are_none() {
    let place = Place::new();
    place.images("own/a", 4, 1);
    place.images("own/b", 4, 2);
    place.write("text.txt", "hello\n");
    place.write("empty", "");
    place.write("one.png", png(5));
    place.write("data.pkl", b"\x80\x04\x95");
    place.write("lfs.zip", "version https://git-lfs.github.com/spec/v1\n");
    std::fs::create_dir(place.path("nothing")).unwrap();
    place.images("flat", 3, 3);
    type Change = fn(&mut import::Request);
    let cases: [(&str, Change, &str); 14] = [
        ("own", |r| r.white = Some(1.0), "--white does not apply to folders"),
        ("own", |r| r.classes = vec!["a".into()], "--classes does not apply to folders"),
        ("own", |r| r.labels = Some("x".into()), "--labels does not apply"),
        ("own", |r| r.transpose = true, "--transpose does not apply"),
        ("own", |r| r.group_by = Some("(".into()), "--group-by"),
        ("nowhere", |_| {}, "nowhere"),
        ("empty", |_| {}, "an empty file"),
        ("one.png", |_| {}, "one image; expected a folder"),
        ("data.pkl", |_| {}, "pickle"),
        ("lfs.zip", |_| {}, "Git LFS"),
        ("nothing", |_| {}, "no files"),
        ("flat", |_| {}, "in no folder of a class"),
        ("text.txt", |_| {}, "text.txt"),
        ("own/a", |_| {}, "in no folder of a class"),
    ];
    for (source, change, expected) in cases {
        let refused = place.import(source, change).unwrap_err();
        assert!(refused.contains(expected), "{source}: {refused}");
        assert!(!place.path("datasets/x").exists() && !place.path("datasets/.import-x").exists(), "{source}");
    }
}

/// `1.png` of the test images is not that of the training images.
#[test]
fn a_list_is_not_for_either_of_two_folders() {
    let place = Place::new();
    place.images("train", 20, 1);
    place.images("test", 20, 2);
    place.images(".cache", 20, 3);
    let list: String = (0..20).map(|at| format!("{at},{}\n", ["cat", "dog"][at % 2])).collect();
    place.write("labels.csv", format!("name,class\n{list}"));
    let refused = place.import("labels.csv", |_| {}).unwrap_err();
    let parts = ["line 2", "test/0.png", "train/0.png", "--images"];
    assert!(parts.iter().all(|part| refused.contains(part)), "{refused}");
    let train = place.path("train");
    let found = place.import("labels.csv", |request| request.images = Some(train)).unwrap();
    assert_eq!(found.left_out.len(), 0);
    // In one folder alone they are found.
    std::fs::remove_dir_all(place.path("datasets")).unwrap();
    std::fs::remove_dir_all(place.path("test")).unwrap();
    place.import("labels.csv", |_| {}).unwrap();
}

#[test]
fn nearly_equal_images_that_are_too_many_to_name_are_said_to_be_a_part() {
    let imported = |count: u32| {
        let place = Place::new();
        for index in 0..count {
            for (class, seed) in [("a", 1), ("b", 2)] {
                // One picture, of which each image differs in one pixel.
                let mut picture = common::picture(seed);
                picture.get_pixel_mut(index % 12, index / 12).0[0] ^= 1;
                std::fs::create_dir_all(place.path(&format!("own/{class}"))).unwrap();
                picture.save(place.path(&format!("own/{class}/{index}.png"))).unwrap();
            }
        }
        place.import("own", |_| {}).unwrap()
    };
    let is_said =
        |imported: &import::Imported| imported.warnings.iter().any(|w| w.contains("named are a part"));
    let few = imported(8);
    assert!(!few.near.is_empty() && !is_said(&few), "{} {:?}", few.near.len(), few.warnings);
    let many = imported(60);
    assert!(many.near.len() == 1000 && is_said(&many), "{} {:?}", many.near.len(), many.warnings);
}
