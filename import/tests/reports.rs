//! What is written beside a dataset, and corrections taken back.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{Place, counts, expect};
use datasets::Digest;

/// `sha256`, `class` and `origin` of every row of a dataset's table.
fn rows(place: &Place) -> Vec<[String; 4]> {
    let text = std::fs::read_to_string(place.path("datasets/x/images.csv")).unwrap();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    assert_eq!(reader.headers().unwrap(), vec!["split", "index", "class", "sha256", "origin"]);
    let row = |row: csv::StringRecord| [0, 2, 3, 4].map(|column| row[column].to_owned());
    reader.records().map(|record| row(record.unwrap())).collect()
}

#[test]
fn every_image_is_in_the_table_and_every_file_in_the_metadata() {
    let place = Place::new();
    place.images("own/cat", 8, 1);
    place.images("own/dog|<b>", 8, 2);
    let found = place.import("own", |request| request.origin = "https://example.org/set".into()).unwrap();
    assert!(found.warnings.iter().any(|warning| warning.contains("--licence")), "{:?}", found.warnings);
    let (train, test, dataset) = place.load();
    let rows = rows(&place);
    assert_eq!(rows.len(), 16);
    for (index, [split, class, digest, origin]) in rows.iter().enumerate() {
        let (samples, at) = if index < 12 { (&train, index) } else { (&test, index - 12) };
        assert_eq!(split, if index < 12 { "train" } else { "test" });
        assert_eq!(*class, dataset.description.classes[usize::from(samples.labels[at])]);
        assert_eq!(*digest, Digest::of(samples.image(at)).to_string());
        assert!(origin.starts_with(&format!("own/{class}/")), "{origin}");
    }
    let read = |name: &str| std::fs::read_to_string(place.path(&format!("datasets/x/{name}"))).unwrap();
    let croissant: serde_json::Value = serde_json::from_str(&read("croissant.json")).unwrap();
    let files = croissant["distribution"].as_array().unwrap();
    assert_eq!(files.len(), 5);
    for file in files {
        let bytes = std::fs::read(place.path("datasets/x").join(file["name"].as_str().unwrap())).unwrap();
        assert_eq!(file["sha256"], Digest::of(&bytes).to_string());
        assert_eq!(file["contentSize"], format!("{} B", bytes.len()));
    }
    assert_eq!(croissant["url"], "https://example.org/set");
    let report: serde_json::Value = serde_json::from_str(&read("report.json")).unwrap();
    assert_eq!(report["classes"][0]["train"], 6);
    let page = read("report.html");
    assert_eq!(page.matches("<img src=\"data:image/png;base64,").count(), 2);
    assert!(page.contains("dog|&lt;b&gt;") && !page.contains("<b>"), "names are escaped");
    let card = read("README.md");
    assert!(card.contains("dog\\|&lt;b>") && card.contains("Licence: unknown: may others use it?"), "{card}");
}

#[test]
fn grey_images_among_coloured_ones_are_named_as_they_are_stored() {
    let place = Place::new();
    place.images("own/a", 6, 1);
    place.images("own/b", 6, 2);
    let colour = image::RgbImage::from_fn(12, 12, |x, y| image::Rgb([(x * 20) as u8, (y * 20) as u8, 9]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    colour.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    place.write("own/a/colour.png", bytes.into_inner());
    let found = place.import("own", |_| {}).unwrap();
    assert_eq!(found.image, [3, 12, 12]);
    let (train, _, _) = place.load();
    for (index, row) in rows(&place).iter().enumerate().take(train.len()) {
        assert_eq!(row[2], Digest::of(train.image(index)).to_string(), "{row:?}");
    }
}

#[test]
fn corrections_are_taken_back() {
    let place = Place::new();
    place.images("own/a", 10, 1);
    place.images("own/b", 10, 2);
    place.import("own", |_| {}).unwrap();
    let before = rows(&place);
    let of = |name: &str| before.iter().find(|row| row[3].ends_with(name)).unwrap()[2].clone();
    let (first, second, third) = (of("a/0.png"), of("a/1.png"), of("b/2.png"));
    place.write("out.csv", format!("rank,sha256\n1,{first}\n"));
    place.write("new.csv", format!("sha256,suggested\n{second},b\n{third},a\n"));
    let (out, new) = (place.path("out.csv"), place.path("new.csv"));
    std::fs::remove_dir_all(place.path("datasets/x")).unwrap();
    let found = place
        .import("own", |request| {
            request.exclude = Some(out);
            request.relabel = Some(new);
        })
        .unwrap();
    assert_eq!(found.relabelled, 2);
    let left_out: Vec<&str> = found.left_out.iter().map(|out| out.name.as_str()).collect();
    assert!(left_out.len() == 1 && left_out[0].ends_with("a/0.png"), "{left_out:?}");
    let total: usize = counts(&found).iter().map(|class| class.1 + class.3).sum();
    assert_eq!(total, 19);
    let after = rows(&place);
    let class = |digest: &str| after.iter().find(|row| row[2] == digest).unwrap()[1].clone();
    assert_eq!([class(&second), class(&third)], ["b", "a"]);
    for (text, expected) in [
        (format!("sha256,suggested\n{second},c\n"), "line 2: no class \"c\""),
        (format!("sha256,suggested\n{second},b\n{second},b\n"), "is there twice"),
        ("sha256,suggested\nabc,b\n".into(), "expected 64 digits"),
        (format!("sha256;suggested\n{second};c\n"), "line 2: no class \"c\""),
        (format!("sha256,new\n{second},b\n"), "no column \"suggested\""),
        (format!("sha256,suggested\n{},b\n", "0".repeat(64)), "none of its 1 images is in the source"),
    ] {
        place.write("bad.csv", &text);
        let bad = place.path("bad.csv");
        let refused = place.import("own", |request| {
            request.name = "bad".into();
            request.relabel = Some(bad);
        });
        let refused = refused.unwrap_err();
        assert!(refused.contains(expected), "{text}: {refused}");
    }
}

#[test]
fn images_of_one_colour_are_named() {
    let place = Place::new();
    place.images("own/a", 6, 1);
    place.images("own/b", 6, 2);
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::GrayImage::from_pixel(12, 12, image::Luma([40]))
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    place.write("own/b/flat.png", bytes.into_inner());
    let found = place.import("own", |_| {}).unwrap();
    assert!(found.constant.len() == 1 && found.constant[0].ends_with("flat.png"), "{:?}", found.constant);
    assert_eq!(counts(&found), expect(&[("a", 5, 0, 1), ("b", 6, 0, 1)]));
}
