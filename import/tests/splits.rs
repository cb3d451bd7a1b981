//! Test splits that are made: groups, folds, and classes that are left without images.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{Place, counts, expect, png};

#[test]
fn groups_and_folds() {
    let place = Place::new();
    for person in 0..12 {
        for (class, seed) in [("cat", 1), ("dog", 2)] {
            for shot in 0..3 {
                place.write(
                    &format!("own/{class}/p{person}-{shot}.png"),
                    png(seed * 1000 + person * 10 + shot),
                );
            }
        }
    }
    let found = place.import("own", |request| request.group_by = Some(r"/(p\d+)-".into())).unwrap();
    assert_eq!(counts(&found), expect(&[("cat", 30, 0, 6), ("dog", 30, 0, 6)]));
    assert_eq!(found.notes[1..], ["12 groups, each on one side of the split"]);
    let other = |name: &str, pattern: &str| {
        place.import("own", |request| (request.name, request.group_by) = (name.into(), Some(pattern.into())))
    };
    assert_eq!(
        other("some", r"/(p[1-4])-").unwrap().notes[1..],
        [
            "52 groups, each on one side of the split",
            "--group-by finds nothing in the names of 48 images: each is a group of its own"
        ]
    );
    let refused = other("none", "person").unwrap_err();
    assert!(
        refused.contains("--group-by finds nothing in any name, such as \"own/cat/p0-0.png\""),
        "{refused}"
    );
    let (train, test, _) = place.load();
    let person = |pixels: &[u8]| {
        (0..120).find(|&p| {
            (0..3).any(|s| {
                [1, 2].iter().any(|c| {
                    image::load_from_memory(&png(c * 1000 + p * 10 + s)).unwrap().to_luma8().as_raw()
                        == pixels
                })
            })
        })
    };
    let people = |samples: &datasets::Samples| -> std::collections::BTreeSet<_> {
        (0..samples.len()).map(|i| person(samples.image(i)).unwrap()).collect()
    };
    assert!(people(&train).is_disjoint(&people(&test)));

    let mut tested = Vec::new();
    for fold in 1..=4 {
        let name = format!("fold{fold}");
        place
            .import("own", |request| (request.name, request.fold) = (name.clone(), Some((fold, 4))))
            .unwrap();
        let dataset = datasets::Dataset::open(&place.path(&format!("datasets/{name}"))).unwrap();
        let test = dataset.load(datasets::Split::Test).unwrap();
        tested.extend((0..test.len()).map(|i| test.image(i).to_vec()));
    }
    let all = tested.len();
    tested.sort();
    tested.dedup();
    assert_eq!((all, tested.len()), (72, 72), "each image is tested on once");
}

/// What was left out is told where it leaves a class without images.
#[test]
fn a_class_of_leaked_images_is_explained() {
    let place = Place::new();
    for part in ["train", "test"] {
        place.images(&format!("own/{part}/a"), 6, 1);
        place.images(&format!("own/{part}/b"), 6, 2);
    }
    let refused = place.import("own", |_| {}).unwrap_err();
    let told = "class \"a\": 0 training and 6 test images, expected at least one of each; of all images 12 were in the test or \
        validation split as well";
    assert!(refused.contains(told), "{refused}");
}

/// Whatever the number of images and folds: each image is tested on once.
#[test]
fn folds_divide_the_images() {
    for (count, folds) in [(8, 5), (9, 2), (7, 3)] {
        let place = Place::new();
        place.images("own/cat", count, 1);
        place.images("own/dog", count + 1, 2);
        let mut tested: Vec<Vec<u8>> = Vec::new();
        for fold in 1..=folds {
            place.import("own", |request| request.fold = Some((fold, folds))).unwrap();
            let (train, test, _) = place.load();
            assert_eq!((train.labels.len() + test.labels.len()) as u32, 2 * count + 1);
            tested.extend((0..test.labels.len()).map(|index| test.image(index).to_vec()));
            std::fs::remove_dir_all(place.path("datasets")).unwrap();
        }
        let all = tested.len();
        tested.sort();
        tested.dedup();
        assert_eq!((all as u32, tested.len() as u32), (2 * count + 1, 2 * count + 1), "{count} in {folds}");
    }
}

/// People of a validation split that the source has may be in the others too.
#[test]
fn groups_are_not_kept_apart_from_a_validation_split() {
    let place = Place::new();
    for (part, seed) in [("train", 1), ("val", 2)] {
        place.images(&format!("own/{part}/cat"), 8, seed);
        place.images(&format!("own/{part}/dog"), 8, seed + 10);
    }
    let refused = place.import("own", |request| request.group_by = Some(r"(\d)\.png".into())).unwrap_err();
    assert!(refused.contains("a validation split of its own"), "{refused}");
    place.import("own", |_| {}).unwrap();
}
