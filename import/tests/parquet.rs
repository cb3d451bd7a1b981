//! Parquet files as the Hugging Face Hub has them.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::{Place, counts, expect, png};
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

const NAMES: &str = r#"{"info": {"features": {"label": {"names": ["dog", "cat"], "_type": "ClassLabel"}}}}"#;

struct Rows {
    images: Vec<Option<Vec<u8>>>,
    labels: Vec<i64>,
}

/// `count` rows, labels in turn 0 and 1.
fn rows(count: u32, seed: u32) -> Rows {
    Rows {
        images: (0..count).map(|index| Some(png(seed * 1000 + index))).collect(),
        labels: (0..i64::from(count)).map(|index| index % 2).collect(),
    }
}

/// A file with `image: struct<bytes, path>` and `label`, as the Hub's `datasets` writes it.
fn hub(rows: &Rows, compression: Compression, metadata: Option<&str>) -> Vec<u8> {
    let schema = "message schema { OPTIONAL group image { OPTIONAL BINARY bytes; OPTIONAL BINARY path (STRING); } \
                  OPTIONAL INT64 label; }";
    let metadata = metadata.map(|text| vec![KeyValue::new("huggingface".into(), text.to_owned())]);
    let properties =
        WriterProperties::builder().set_compression(compression).set_key_value_metadata(metadata).build();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).unwrap();
    let count = rows.labels.len();
    for from in (0..count).step_by(7) {
        let range = from..(from + 7).min(count);
        let mut group = writer.next_row_group().unwrap();
        let present: Vec<ByteArray> =
            rows.images[range.clone()].iter().flatten().cloned().map(Into::into).collect();
        let levels: Vec<i16> =
            rows.images[range.clone()].iter().map(|image| 1 + i16::from(image.is_some())).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&present, Some(&levels), None).unwrap();
        column.close().unwrap();
        let paths: Vec<ByteArray> = range.clone().map(|i| format!("{i}.png").into_bytes().into()).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&paths, Some(&vec![2; range.len()]), None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let levels = vec![1; range.len()];
        column.typed::<Int64Type>().write_batch(&rows.labels[range], Some(&levels), None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.into_inner().unwrap()
}

#[test]
fn shards_of_two_splits_with_names_of_classes() {
    let place = Place::new();
    place.write(
        "set/data/train-00000-of-00002-3f.parquet",
        hub(&rows(20, 1), Compression::SNAPPY, Some(NAMES)),
    );
    let more = hub(&rows(10, 2), Compression::ZSTD(ZstdLevel::default()), Some(NAMES));
    place.write("set/data/train-00001-of-00002-3f.parquet", more);
    place.write(
        "set/data/test-00000-of-00001-3f.parquet",
        hub(&rows(6, 3), Compression::LZ4_RAW, Some(NAMES)),
    );
    place.write("set/README.md", "a card");
    let found = place.import("set", |_| {}).unwrap();
    // The order of the names, not of the alphabet.
    assert_eq!(counts(&found), expect(&[("dog", 15, 0, 3), ("cat", 15, 0, 3)]));
    assert!(found.left_out.iter().any(|out| out.name == "README.md" && out.why == "not a Parquet file"));
    let (train, _, _) = place.load();
    assert_eq!(train.labels[..4], [0, 1, 0, 1]);
    let refused =
        place.import("set/data/train-00000-of-00002-3f.parquet", |r| r.name = "b".into()).unwrap_err();
    assert!(refused.contains("one of 2 shards"), "{refused}");
    std::fs::remove_file(place.path("set/data/train-00001-of-00002-3f.parquet")).unwrap();
    let refused = place.import("set", |request| request.name = "c".into()).unwrap_err();
    assert!(refused.contains("train-00001-of-00002 is not there"), "{refused}");
}

#[test]
fn single_files_rows_without_labels_and_images_that_are_not_there() {
    let place = Place::new();
    let mut odd = rows(20, 1);
    odd.labels[4] = -1;
    odd.images[7] = None;
    odd.images[8] = Some(b"no image".to_vec());
    place.write("train.parquet", hub(&odd, Compression::UNCOMPRESSED, Some(NAMES)));
    place.write("test.parquet", hub(&rows(6, 2), Compression::UNCOMPRESSED, Some(NAMES)));
    let test = place.path("test.parquet");
    let with_test = |request: &mut import::Request| request.test = Some(test.clone());
    let refused = place.import("train.parquet", with_test).unwrap_err();
    assert!(refused.contains("train.parquet[7] 7.png: the image is not in the file"), "{refused}");
    assert!(refused.contains("train.parquet[8] 8.png: "), "{refused}");
    let found = place
        .import("train.parquet", |request| {
            with_test(request);
            request.skip_unreadable = true;
        })
        .unwrap();
    assert_eq!(counts(&found), expect(&[("dog", 8, 0, 3), ("cat", 9, 0, 3)]));
    assert_eq!(found.unreadable.len(), 2);
    assert!(found.left_out[0].name.contains("[4]") && found.left_out[0].why == "without a label");
    // Without names, the labels are numbers.
    place.write("plain.parquet", hub(&rows(20, 4), Compression::SNAPPY, None));
    let found = place.import("plain.parquet", |request| request.name = "plain".into()).unwrap();
    assert_eq!(counts(&found), expect(&[("0", 8, 0, 2), ("1", 8, 0, 2)]));
}

#[test]
fn splits_that_are_not_said_and_columns_that_are_no_class_are_asked_about() {
    let whole = |seed| hub(&rows(20, seed), Compression::SNAPPY, None);
    for (files, expected) in [
        (["trainval.parquet", "test.parquet"], "which split is it?"),
        (["validation.parquet", "test.parquet"], "of which split are images to be trained on?"),
        (["train-00000-of-00001-a.parquet", "train-00000-of-00001-b.parquet"], "several uploads"),
        (["a/train.parquet", "cat/1.png"], "images and Parquet files"),
    ] {
        let place = Place::new();
        for (seed, file) in files.iter().enumerate() {
            let bytes = if file.ends_with("png") { png(1) } else { whole(seed as u32) };
            place.write(&format!("set/{file}"), bytes);
        }
        let refused = place.import("set", |_| {}).unwrap_err();
        assert!(refused.contains(expected), "{files:?}: {refused}");
    }
    let place = Place::new();
    place.write("set/default/train/0000.parquet", whole(1));
    place.write("set/default/test/0000.parquet", whole(2));
    place.write("set/default/validation/0000.parquet", whole(3));
    let found = place.import("set", |_| {}).unwrap();
    assert_eq!(counts(&found), expect(&[("0", 10, 10, 10), ("1", 10, 10, 10)]));
    let refused = place.import("set/default/train", |request| {
        request.name = "y".into();
        request.label_column = Some("image".into());
    });
    assert!(refused.unwrap_err().contains("expected one number or text for each image"));
    place.write("pointer/train.parquet", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n");
    let refused = place.import("pointer", |request| request.name = "z".into()).unwrap_err();
    assert!(refused.contains("Git LFS"), "{refused}");
}

#[test]
fn what_is_not_clear_is_asked_and_what_is_damaged_is_named() {
    let place = Place::new();
    let whole = hub(&rows(20, 1), Compression::SNAPPY, None);
    place.write("a/one/train.parquet", &whole);
    place.write("a/two/train.parquet", &whole);
    let refused = place.import("a", |_| {}).unwrap_err();
    assert!(refused.contains("several sets") && refused.contains("one"), "{refused}");
    let refused = place.import("a/one/train.parquet", |r| r.label_column = Some("breed".into())).unwrap_err();
    assert!(refused.contains("no column \"breed\"") && refused.contains("label"), "{refused}");
    let refused = place.import("a/one", |request| request.white = Some(1.0)).unwrap_err();
    assert!(refused.contains("--white does not apply to Parquet"), "{refused}");
    let mut wrong = 0;
    for at in (0..whole.len()).step_by(whole.len() / 60) {
        place.write("cut.parquet", &whole[..at.max(4)]);
        place.import("cut.parquet", |_| {}).unwrap_err();
        let mut flipped = whole.clone();
        flipped[at] ^= 0xff;
        place.write("flipped.parquet", &flipped);
        // Some bytes are only statistics. A panic would end the test.
        wrong += usize::from(place.import("flipped.parquet", |r| r.name = format!("f{at}")).is_err());
    }
    assert!(wrong > 30, "{wrong}");
}
