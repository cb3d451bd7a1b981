//! Tables, lists of files, IDX and numpy's arrays.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{Place, counts, expect, idx, picture, pixels, png, rows};

#[test]
fn tables_with_any_separator_header_and_test_file() {
    for (separator, decimal) in [(",", '.'), (";", ','), ("\t", '.'), ("|", '.'), (" ", '.')] {
        let place = Place::new();
        let text = rows(20, 1, separator, |v| {
            format!("{:.4}", f64::from(v) / 255.0).replace('.', &decimal.to_string())
        });
        place.write("t.csv", format!("\u{feff}{text}"));
        let refused = place.import("t.csv", |_| {}).unwrap_err();
        assert!(
            refused.contains("a share of white") && refused.contains("--white 1 "),
            "{separator}: {refused}"
        );
        let found = place.import("t.csv", |request| request.white = Some(1.0)).unwrap();
        assert_eq!(counts(&found), expect(&[("a", 8, 0, 2), ("b", 8, 0, 2)]), "{separator}");
        let (train, _, _) = place.load();
        let known: Vec<Vec<u8>> = (0..20).map(|index| picture(1000 + index).into_raw()).collect();
        assert!((0..16).all(|index| known.iter().any(|pixels| pixels == train.image(index))), "{separator}");
    }
    // Kaggle's pair, with a row that has no label.
    let place = Place::new();
    let header: String = (0..144).map(|i| format!(",pixel{i}")).collect();
    let whole = |count, seed| rows(count, seed, ",", |v| v.to_string());
    place.write("train.csv", format!("label{header}\n{}", whole(20, 1)));
    let unlabelled: String = whole(1, 3).replacen('a', "", 1);
    place.write("test.csv", format!("label{header}\n{}{unlabelled}", whole(6, 2)));
    let test = place.path("test.csv");
    let found = place.import("train.csv", |request| request.test = Some(test)).unwrap();
    assert_eq!(counts(&found), expect(&[("a", 10, 0, 3), ("b", 10, 0, 3)]));
    assert_eq!(found.left_out.len(), 1);
    assert!(found.left_out[0].why == "without a label" && found.left_out[0].name.ends_with("test.csv:8"));
    place.write("bare.csv", format!("{}\n{}", &header[1..], "0,".repeat(143) + "9\n"));
    let refused = place.import("bare.csv", |request| request.name = "y".into()).unwrap_err();
    assert!(refused.contains("no column has the class"), "{refused}");
}

#[test]
fn tables_that_are_wrong_are_refused_with_their_line() {
    let place = Place::new();
    let digits = rows(4, 1, ",", |v| (v / 16).to_string());
    for (text, expected) in [
        (digits.clone(), "--white 16"),
        ("1,0,16,8,4\n1,0,16,8\n".into(), "record 1 (line: 2"),
        ("1,0,16,8,200\n2,0,x,8,4\n".into(), "line 2: column 3: \"x\", expected a number"),
        ("1,0,NaN,8,200\n2,0,1,8,4\n".into(), "line 1: column 3: \"NaN\""),
        ("1,0,16,8\n2,0,160,8\n".into(), "3 values for an image"),
        ("1,0,-16,8,7\n2,0,160,8,7\n".into(), "below 0"),
    ] {
        place.write("t.csv", text);
        let refused = place.import("t.csv", |_| {}).unwrap_err();
        assert!(refused.contains(expected), "{expected}: {refused}");
    }
}

#[test]
fn many_labels_take_no_time() {
    let place = Place::new();
    let row = |i: u32| format!("{},{},{},{},200\n", i % 250, i % 256, i / 256 % 256, i / 65_536);
    place.write("t.csv", (0..100_000).map(row).collect::<String>());
    let started = std::time::Instant::now();
    let found = place.import("t.csv", |_| {}).unwrap();
    assert_eq!(found.classes.len(), 250);
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

#[test]
fn lists_of_files_and_classes() {
    for (name, list) in [
        ("with a header", "image_id,breed\n0,cat\n1.png,dog\n2,cat\n3,dog\n4,cat\n5,dog\n"),
        (
            "without",
            "pictures/0.png,cat\npictures/1.png,dog\n./pictures/2.png,cat\n3.png,dog\n4.png,cat\n5.png,dog\n",
        ),
        ("more columns", "id;age;label\n0;5;cat\n1;3;dog\n2;4;cat\n3;1;dog\n4;3;cat\n5;9;dog\n"),
    ] {
        let place = Place::new();
        place.images("own/pictures", 6, 1);
        place.write("own/labels.csv", list);
        for source in ["own/labels.csv", "own"] {
            let found = place.import(source, |request| request.name = format!("x{}", source.len())).unwrap();
            assert_eq!(counts(&found), expect(&[("cat", 2, 0, 1), ("dog", 2, 0, 1)]), "{name}, {source}");
        }
    }
    let place = Place::new();
    place.images("own", 8, 1);
    let line = |i: u32| {
        let split = if i < 6 { "train" } else { "test" };
        format!("{{\"file_name\": \"{i}.png\", \"label\": {}, \"split\": \"{split}\"}}\n", i % 2 + 5)
    };
    place.write(
        "own/metadata.jsonl",
        (0..8).map(line).collect::<String>()
            + "{\"file_name\": \"9.png\", \"label\": 5, \"split\": \"train\"}\n",
    );
    let refused = place.import("own", |_| {}).unwrap_err();
    assert!(refused.contains("9.png: line 9 of") && refused.contains("no such file"), "{refused}");
    let found = place.import("own", |request| request.skip_unreadable = true).unwrap();
    assert_eq!(counts(&found), expect(&[("5", 3, 0, 1), ("6", 3, 0, 1)]));
    assert!(found.left_out.is_empty(), "{:?}", found.left_out);
    // A split that is none, a column that is another, and files that the list does not name.
    place.write("part/a.csv", "file,label,split\n0,1,train\n1,2,train\n2,1,test\n3,2,test\n4,1,holdout\n");
    place.images("part", 6, 3);
    let refused = place.import("part", |request| request.name = "z".into()).unwrap_err();
    assert!(refused.contains("line 6: split \"holdout\", expected train, validation or test"), "{refused}");
    let rows = "0,1,A\n1,2,B\n2,1,A\n3,2,B\n4,1,A\n";
    place.write("part/a.csv", format!("file,label,set\n{rows}"));
    let found = place.import("part", |request| request.name = "z".into()).unwrap();
    assert_eq!(counts(&found), expect(&[("1", 2, 0, 1), ("2", 1, 0, 1)]));
    assert!(found.left_out.len() == 1 && found.left_out[0].name == "5.png", "{:?}", found.left_out);
    // Names that lead out of the folder are not followed.
    place.write("secret.png", png(77));
    place.write("own/evil.csv", "file,label\n0.png,1\n1.png,2\n../secret.png,1\n");
    let refused = place.import("own/evil.csv", |request| request.name = "y".into()).unwrap_err();
    assert!(refused.contains("../secret.png: line 4"), "{refused}");
}

/// Options that name files beside that of the images do not apply to a source that has them all.
fn refuses_files_beside(place: &Place, source: &str, what: &str) {
    type Change = fn(&mut import::Request);
    let options: [(&str, Change); 3] = [
        ("--labels", |request| request.labels = Some("nowhere".into())),
        ("--test", |request| request.test = Some("nowhere".into())),
        ("--test-labels", |request| request.test_labels = Some("nowhere".into())),
    ];
    for (option, change) in options {
        let refused = place.import(source, |request| {
            request.name = "y".into();
            change(request);
        });
        let refused = refused.unwrap_err();
        assert!(refused.contains(&format!("{option} does not apply to {what}")), "{refused}");
    }
}

#[test]
fn idx_files_of_mnist_and_its_relatives() {
    let place = Place::new();
    place.write("own/train-images-idx3-ubyte", idx(8, &[10, 12, 12], &pixels(10, 1)));
    place.write("own/train-labels-idx1-ubyte", idx(8, &[10], &[1, 2, 1, 2, 1, 2, 1, 2, 1, 26]));
    place.write("own/t10k-images-idx3-ubyte", idx(8, &[3, 12, 12], &pixels(3, 2)));
    place.write("own/t10k-labels-idx1-ubyte", idx(8, &[3], &[1, 2, 26]));
    // The folder, and each file alone, whose labels lie beside it.
    let found = place.import("own", |_| {}).unwrap();
    assert_eq!(counts(&found), expect(&[("1", 5, 0, 1), ("2", 4, 0, 1), ("26", 1, 0, 1)]));
    let names: Vec<String> = ('a'..='z').map(String::from).collect();
    let refused = place.import("own", |request| {
        request.name = "y".into();
        request.classes = names;
    });
    // EMNIST's letters begin at 1: 26 names fit, but most classes have no images here.
    assert!(refused.unwrap_err().contains("class \"c\": 0 training"));
    let found = place
        .import("own/train-images-idx3-ubyte", |request| {
            request.name = "z".into();
            request.test_share = Some(0.1);
            request.labels = Some(place.path("own/train-labels-idx1-ubyte"));
        })
        .unwrap_err();
    assert!(found.contains("class \"26\""), "{found}");

    // Names of files in a folder say what they are, and options would say it again.
    refuses_files_beside(&place, "own", "a folder of IDX files");

    // QMNIST: a row of numbers for each image, the class first, in 32 bits.
    let label =
        |i: u32| [i % 2, 7, 7, 7, 7, 7, 0, 0].into_iter().flat_map(u32::to_be_bytes).collect::<Vec<u8>>();
    place.write("q/qmnist-train-images-idx3-ubyte", idx(8, &[8, 12, 12], &pixels(8, 3)));
    place.write(
        "q/qmnist-train-labels-idx2-int",
        idx(0x0c, &[8, 8], &(0..8).flat_map(label).collect::<Vec<u8>>()),
    );
    let found = place.import("q", |request| request.name = "q".into()).unwrap();
    assert_eq!(counts(&found), expect(&[("0", 3, 0, 1), ("1", 3, 0, 1)]));

    // Floats from 0 to 1 are asked about; colours are taken.
    let floats: Vec<u8> =
        pixels(8, 4).into_iter().flat_map(|pixel| (f32::from(pixel) / 255.0).to_be_bytes()).collect();
    place.write("f/train-images-idx3-float", idx(0x0d, &[8, 12, 12], &floats));
    place.write("f/train-labels-idx1-ubyte", idx(8, &[8], &[0, 1, 0, 1, 0, 1, 0, 1]));
    let refused = place.import("f", |request| request.name = "f".into()).unwrap_err();
    assert!(refused.contains("--white 1 "), "{refused}");
    place.import("f", |request| (request.name, request.white) = ("f".into(), Some(1.0))).unwrap();
}

/// Strokes that are higher than wide, as written characters are.
fn stroke(seed: u32, lies: bool) -> Vec<u8> {
    let at = |x: u32, y: u32| {
        (4..20).contains(&y) && (8 + seed % 5..14).contains(&x) && !(x + y + seed).is_multiple_of(7)
    };
    let bright = |x, y| if lies { at(y, x) } else { at(x, y) };
    (0..576).map(|i| if bright(i % 24, i / 24) { 200 + (seed % 50) as u8 } else { 0 }).collect()
}

#[test]
fn images_on_their_side_are_noticed_and_turned() {
    let place = Place::new();
    let all = |lies: bool| (0..60).flat_map(|seed| stroke(seed, lies)).collect::<Vec<u8>>();
    let labels: Vec<u8> = (0..60).map(|i| i % 2).collect();
    for (name, lies) in [("upright", false), ("sideways", true)] {
        place.write(&format!("{name}/train-images-idx3-ubyte"), idx(8, &[60, 24, 24], &all(lies)));
        place.write(&format!("{name}/train-labels-idx1-ubyte"), idx(8, &[60], &labels));
    }
    let warned =
        |found: &import::Imported| found.warnings.iter().any(|warning| warning.contains("--transpose"));
    assert!(!warned(&place.import("upright", |request| request.name = "a".into()).unwrap()));
    assert!(warned(&place.import("sideways", |request| request.name = "b".into()).unwrap()));
    let turned = place.import("sideways", |request| (request.name, request.transpose) = ("c".into(), true));
    assert!(!warned(&turned.unwrap()));
    let images =
        |name: &str| std::fs::read(place.path(&format!("datasets/{name}/train-images-idx4-ubyte"))).unwrap();
    assert_eq!(images("a"), images("c"));
}

fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    while !(header.len() + 11).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    [b"\x93NUMPY\x01\x00".as_slice(), &(header.len() as u16).to_le_bytes(), header.as_bytes(), data].concat()
}

fn npz(path: &std::path::Path, arrays: &[(&str, Vec<u8>)]) {
    use std::io::Write;
    let mut zip = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
    for (name, bytes) in arrays {
        zip.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

#[test]
fn arrays_of_numpy() {
    let place = Place::new();
    let labels: Vec<u8> = (0..8i64).flat_map(|i| (i % 2).to_le_bytes()).collect();
    // Keras' mnist.npz, MedMNIST's form, and one pair.
    let images = |count: usize, seed| npy("|u1", &format!("({count}, 12, 12)"), &pixels(count as u32, seed));
    npz(
        &place.path("keras.npz"),
        &[
            ("x_test", images(4, 2)),
            ("x_train", images(8, 1)),
            ("y_train", npy("|u1", "(8,)", &[0, 1, 0, 1, 0, 1, 0, 1])),
            ("y_test", npy("|u1", "(4,)", &[0, 1, 0, 1])),
        ],
    );
    let found = place.import("keras.npz", |request| request.name = "keras".into()).unwrap();
    assert_eq!(counts(&found), expect(&[("0", 4, 0, 2), ("1", 4, 0, 2)]));
    refuses_files_beside(&place, "keras.npz", "an .npz file");
    let refused = place.import("keras.npz", |request| {
        (request.name, request.classes) = ("y".into(), vec!["zero".into(), " ".into()]);
    });
    assert!(refused.unwrap_err().contains("one has no name"));
    npz(
        &place.path("med.npz"),
        &[
            ("train_images", images(8, 1)),
            ("train_labels", npy("<i8", "(8, 1)", &labels)),
            ("val_images", images(2, 3)),
            ("val_labels", npy("|u1", "(2, 1)", &[0, 1])),
            ("test_images", images(4, 2)),
            ("test_labels", npy("|u1", "(4, 1)", &[0, 1, 0, 1])),
        ],
    );
    let found = place.import("med.npz", |request| request.name = "med".into()).unwrap();
    assert_eq!(counts(&found), expect(&[("0", 4, 1, 2), ("1", 4, 1, 2)]));
    // Colours with the channels last, floats, and labels as a 1 among zeros.
    let plane: Vec<u8> = pixels(8, 5);
    let colours: Vec<u8> = plane
        .iter()
        .flat_map(|&p| [p, 255 - p, p / 2])
        .flat_map(|p| (f32::from(p) / 255.0).to_le_bytes())
        .collect();
    let one_hot: Vec<u8> = (0..8u8).flat_map(|i| [u8::from(i % 2 == 0), u8::from(i % 2 == 1)]).collect();
    place.write("x.npy", npy("<f4", "(8, 12, 12, 3)", &colours));
    place.write("y.npy", npy("|u1", "(8, 2)", &one_hot));
    let labels = place.path("y.npy");
    let found = place
        .import("x.npy", |request| (request.labels, request.white) = (Some(labels.clone()), Some(1.0)))
        .unwrap();
    assert_eq!((found.image, found.classes.len()), ([3, 12, 12], 2));
    let (train, _, _) = place.load();
    let image = train.image(0);
    assert!((0..144).all(|at| image[at] == 255 - image[144 + at] && image[288 + at] == image[at] / 2));

    // What belongs to no split is told; what is called a split's and has no images is refused.
    let pair = |extra: Vec<(&'static str, Vec<u8>)>| {
        let labels = npy("|u1", "(8,)", &[0, 1, 0, 1, 0, 1, 0, 1]);
        [vec![("x_train", images(8, 1)), ("y_train", labels)], extra].concat()
    };
    let statistics = vec![
        ("class_names", npy("|u1", "(2,)", b"ab")),
        ("test_idx", npy("|u1", "(2,)", b"ab")),
        ("mean", npy("|u1", "()", b"x")),
    ];
    npz(&place.path("extra.npz"), &pair(statistics));
    let found = place.import("extra.npz", |request| request.name = "extra".into()).unwrap();
    let left: Vec<&str> = found.left_out.iter().map(|out| out.name.as_str()).collect();
    assert_eq!(left, ["class_names", "test_idx", "mean"]);
    for extra in [
        vec![("y_test", npy("|u1", "(4,)", &[0, 1, 0, 1]))],
        vec![("x_test", npy("|u1", "(4,)", &[0, 1, 0, 1])), ("y_test", npy("|u1", "(4,)", &[0, 1, 0, 1]))],
    ] {
        npz(&place.path("extra.npz"), &pair(extra));
        let refused = place.import("extra.npz", |request| request.name = "e".into()).unwrap_err();
        assert!(refused.contains("has the images of") && refused.contains("_test"), "{refused}");
    }
    let large: Vec<u8> = (0..8i64).flat_map(|i| (1_740_000_000_000_000_000 + i % 2).to_le_bytes()).collect();
    npz(&place.path("large.npz"), &[("x", images(8, 1)), ("y", npy("<i8", "(8,)", &large))]);
    let refused = place.import("large.npz", |request| request.name = "large".into()).unwrap_err();
    assert!(refused.contains("below 2^53"), "{refused}");

    place.write("objects.npy", npy("|O", "(8,)", b"\x80\x04"));
    let refused = place.import("objects.npy", |request| {
        request.name = "o".into();
        request.labels = Some(labels);
    });
    assert!(refused.unwrap_err().contains("objects.npy"));
}

#[test]
fn a_truncated_photograph_and_mixed_sizes_are_named() {
    let place = Place::new();
    place.images("own/a", 4, 1);
    place.images("own/b", 4, 2);
    let mut photo = std::io::Cursor::new(Vec::new());
    image::DynamicImage::from(picture(9)).write_to(&mut photo, image::ImageFormat::Jpeg).unwrap();
    let photo = photo.into_inner();
    place.write("own/b/cut.jpg", &photo[..photo.len() / 2]);
    let refused = place.import("own", |_| {}).unwrap_err();
    assert!(refused.contains("cut.jpg") && refused.contains("--skip-unreadable"), "{refused}");
    let found = place.import("own", |request| request.skip_unreadable = true).unwrap();
    assert_eq!(found.unreadable.len(), 1);
    image::GrayImage::new(5, 5).save(place.path("own/b/small.png")).unwrap();
    std::fs::remove_file(place.path("own/b/cut.jpg")).unwrap();
    let refused = place.import("own", |request| request.name = "y".into()).unwrap_err();
    assert!(
        refused.contains("small.png: 5x5 pixels, others 12x12") && refused.contains("--size"),
        "{refused}"
    );
}
