//! The same data as other programs and systems write it down.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::io::Write;

use common::{Place, counts, expect, idx, picture, pixels, png, rows};

/// Six pictures in `own/images`, with what a list is to say about them.
fn six(place: &Place) -> Vec<(String, &'static str)> {
    place.images("own/images", 6, 1);
    (0..6).map(|i| (format!("images/{i}.png"), if i % 2 == 0 { "cat" } else { "dog" })).collect()
}

fn csv(listed: &[(String, &str)]) -> String {
    let lines = listed.iter().map(|(file, label)| format!("{file},{label}\n"));
    "path,label\n".to_owned() + &lines.collect::<String>()
}

#[test]
fn lines_are_counted_whatever_ends_them() {
    for end in ["\n", "\r\n", "\r"] {
        let place = Place::new();
        let list = csv(&six(&place)) + "\nimages/9.png,cat\n";
        place.write("own/list.csv", list.replace('\n', end));
        let refused = place.import("own/list.csv", |_| {}).unwrap_err();
        assert!(refused.contains("images/9.png: line 9 of"), "{end:?}: {refused}");

        place.write("t.csv", rows(20, 1, ",", |value| value.to_string()).replace('\n', end));
        place.import("t.csv", |_| {}).unwrap();
        let table = std::fs::read_to_string(place.path("datasets/x/images.csv")).unwrap();
        assert!(table.contains("t.csv:1\n") && table.contains("t.csv:20\n"), "{end:?}: {table}");
        let text = rows(20, 1, ",", |value| value.to_string());
        let (rest, last) = text.trim_end().rsplit_once('\n').unwrap();
        let fields: Vec<&str> = last.split(',').collect();
        let broken = format!("{rest}\n{},x,{}\n", fields[0], fields[2..].join(","));
        place.write("broken.csv", broken.replace('\n', end));
        let refused = place.import("broken.csv", |request| request.name = "y".into()).unwrap_err();
        assert!(refused.contains("line 20: column 2: \"x\", expected a number"), "{end:?}: {refused}");

        let first =
            table.lines().nth(1).unwrap().split(',').find(|field| field.len() == 64).unwrap().to_owned();
        place.write("exclude.csv", format!("sha256\n{first}\nx\n").replace('\n', end));
        let exclude = place.path("exclude.csv");
        let refused = place.import("t.csv", |request| {
            request.name = "y".into();
            request.exclude = Some(exclude);
        });
        let refused = refused.unwrap_err();
        assert!(refused.contains("line 3: sha256"), "{end:?}: {refused}");
    }
}

#[test]
fn lists_name_files_as_windows_and_from_the_root() {
    let place = Place::new();
    let listed = six(&place);
    let root = place.path("own").display().to_string();
    for (name, change) in [
        ("windows", Box::new(|file: &str| file.replace('/', "\\")) as Box<dyn Fn(&str) -> String>),
        ("mixed", Box::new(|file: &str| format!(".\\{file}"))),
        ("absolute", Box::new(|file: &str| format!("{root}/{file}"))),
    ] {
        let listed: Vec<_> = listed.iter().map(|(file, label)| (change(file), *label)).collect();
        place.write("own/list.csv", csv(&listed));
        let found = place.import("own/list.csv", |request| request.name = name.into()).unwrap();
        assert_eq!(counts(&found), expect(&[("cat", 2, 0, 1), ("dog", 2, 0, 1)]), "{name}");
        let table = std::fs::read_to_string(place.path(&format!("datasets/{name}/images.csv"))).unwrap();
        assert!(table.contains("images/0.png") && !table.contains(&root), "{name}: {table}");
    }
    // Files that are elsewhere, or called otherwise: it is a list all the same.
    for change in [
        |file: &str| format!("/nowhere/{file}"),
        |file: &str| format!("../{file}"),
        |file: &str| format!("C:\\Users\\me\\{file}"),
        |file: &str| file.replace("png", "PNG"),
    ] {
        let listed: Vec<_> = listed.iter().map(|(file, label)| (change(file), *label)).collect();
        place.write("own/list.csv", csv(&listed));
        let refused = place.import("own/list.csv", |request| request.name = "y".into()).unwrap_err();
        let expected = format!("column \"path\" names files that are not in {root}, as {:?}", listed[0].0);
        assert!(refused.contains(&expected) && refused.contains("--images"), "{refused}");
    }
}

#[test]
fn whole_numbers_beside_missing_ones_are_classes() {
    let place = Place::new();
    let listed: Vec<_> = six(&place)
        .into_iter()
        .map(|(file, label)| (file, if label == "cat" { "0.0" } else { "1.0" }))
        .collect();
    place.write("own/list.csv", csv(&listed));
    let lines = listed.iter().map(|(file, label)| format!("{{\"path\": \"{file}\", \"label\": {label}}}\n"));
    // As Windows' editors write it.
    place.write("own/list.jsonl", "\u{feff}".to_owned() + &lines.collect::<String>());
    for (source, name) in [("own/list.csv", "csv"), ("own/list.jsonl", "json")] {
        let found = place.import(source, |request| {
            request.name = name.into();
            request.classes = vec!["no".into(), "yes".into()];
        });
        assert_eq!(counts(&found.unwrap()), expect(&[("no", 2, 0, 1), ("yes", 2, 0, 1)]), "{source}");
    }
    // Names that look like numbers stay as they are.
    let listed: Vec<_> = six(&place)
        .into_iter()
        .map(|(file, label)| (file, if label == "cat" { "1.0" } else { "1.5" }))
        .collect();
    place.write("own/list.csv", csv(&listed));
    let found = place.import("own/list.csv", |request| request.name = "names".into()).unwrap();
    assert_eq!(counts(&found), expect(&[("1.0", 2, 0, 1), ("1.5", 2, 0, 1)]));
}

#[test]
fn a_folder_of_idx_files_as_torchvision_leaves_it() {
    let place = Place::new();
    let gzipped = |bytes: &[u8]| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    };
    let set = |prefix: &str, count: u32, seed: u32, is_twice: bool| {
        let labels: Vec<u8> = (0..count).map(|i| (i % 2) as u8).collect();
        for (kind, bytes) in [
            ("images-idx3", idx(8, &[count, 12, 12], &pixels(count, seed))),
            ("labels-idx1", idx(8, &[count], &labels)),
        ] {
            place.write(&format!("{prefix}-{kind}-ubyte"), &bytes);
            if is_twice {
                place.write(&format!("{prefix}-{kind}-ubyte.gz"), gzipped(&bytes));
            }
        }
    };
    set("MNIST/raw/train", 8, 1, true);
    set("MNIST/raw/t10k", 4, 2, true);
    for (source, name) in [("MNIST/raw", "raw"), ("MNIST", "outer")] {
        let found = place.import(source, |request| request.name = name.into()).unwrap();
        assert_eq!(counts(&found), expect(&[("0", 4, 0, 2), ("1", 4, 0, 2)]), "{source}");
        let left: Vec<&str> = found.left_out.iter().map(|out| out.name.as_str()).collect();
        assert!(left.len() == 4 && left.iter().all(|name| name.ends_with("-ubyte.gz")), "{left:?}");
    }
    // Half of a pair, and one of EMNIST's folders.
    set("half/t10k", 8, 3, false);
    let found = place.import("half", |request| request.name = "half".into()).unwrap();
    assert_eq!(counts(&found), expect(&[("0", 3, 0, 1), ("1", 3, 0, 1)]));
    set("part/raw/t10k", 8, 3, false);
    let found = place.import("part", |request| request.name = "part".into()).unwrap();
    assert_eq!(counts(&found), expect(&[("0", 3, 0, 1), ("1", 3, 0, 1)]), "in a folder of their own");
    set("two/MNIST/raw/train", 8, 9, false);
    set("two/FashionMNIST/raw/train", 8, 10, false);
    let two = place.import("two", |_| {}).unwrap_err();
    assert!(two.contains("IDX files of several sets"), "{two}");
    set("emnist/emnist-letters-train", 8, 4, true);
    set("emnist/emnist-digits-train", 8, 5, true);
    let refused = place.import("emnist", |_| {}).unwrap_err();
    // An unpacking that broke off hides nothing, and folders of classes beside such files are meant.
    std::fs::write(place.path("MNIST/raw/train-images-idx3-ubyte"), "").unwrap();
    let found = place.import("MNIST", |request| request.name = "broken".into()).unwrap();
    assert_eq!(counts(&found), expect(&[("0", 4, 0, 2), ("1", 4, 0, 2)]));
    std::fs::write(place.path("MNIST/raw/t10k-labels-idx1-ubyte"), "").unwrap();
    let found = place.import("MNIST", |request| request.name = "no-labels".into()).unwrap();
    assert_eq!(counts(&found), expect(&[("0", 4, 0, 2), ("1", 4, 0, 2)]));
    for (class, seed) in [("cat", 7), ("dog", 8)] {
        place.images(&format!("both/{class}"), 8, seed);
    }
    for set in ["emnist", "half"] {
        std::fs::rename(place.path(set), place.path("both/raw")).unwrap();
        let found = place.import("both", |request| request.name = format!("beside-{set}")).unwrap();
        assert_eq!(counts(&found), expect(&[("cat", 6, 0, 2), ("dog", 6, 0, 2)]), "{set}");
        std::fs::rename(place.path("both/raw"), place.path(set)).unwrap();
    }
    assert!(
        refused.contains("IDX files of several sets") && refused.contains("emnist-digits-train-images"),
        "{refused}"
    );
}

#[test]
fn arrays_are_resized_and_nothing_asked_for_is_dropped() {
    let place = Place::new();
    let labels: Vec<u8> = (0..8).map(|i| i % 2).collect();
    place.write("own/train-images-idx3-ubyte", idx(8, &[8, 12, 12], &pixels(8, 1)));
    place.write("own/train-labels-idx1-ubyte", idx(8, &[8], &labels));
    let found = place.import("own", |request| request.size = Some([6, 16])).unwrap();
    assert_eq!(found.image, [1, 6, 16]);
    // A table's rows are as --size says how they lie.
    place.write("t.csv", rows(20, 1, ",", |value| value.to_string()));
    for transpose in [false, true] {
        let found = place.import("t.csv", |request| {
            request.name = format!("table-{transpose}");
            (request.size, request.transpose) = (Some([9, 16]), transpose);
        });
        assert_eq!(found.unwrap().image, if transpose { [1, 16, 9] } else { [1, 9, 16] });
    }
    place.write("own/t10k-images-idx3-ubyte", idx(8, &[8, 12, 12], &pixels(8, 2)));
    place.write("own/t10k-labels-idx1-ubyte", idx(8, &[8], &labels));
    type Change = fn(&mut import::Request);
    let cases: [(&str, Change); 4] = [
        ("--test-share", |request| request.test_share = Some(0.3)),
        ("--fold", |request| request.fold = Some((1, 2))),
        ("--seed", |request| request.seed = Some(2)),
        ("--group-by", |request| request.group_by = Some("x".into())),
    ];
    for (option, change) in cases {
        let refused = place.import("own", |request| {
            request.name = "y".into();
            change(request);
        });
        let expected = format!("has a test split of its own; {option} is for sources without");
        let refused = refused.unwrap_err();
        assert!(refused.contains(&expected), "{refused}");
    }
}

#[test]
fn archives_of_hidden_folders_and_with_odd_names() {
    for (prefix, litter) in
        [(".keras/datasets/flowers/", ""), ("./", ""), ("../", ""), ("/home/me/", ".keras/")]
    {
        let place = Place::new();
        let mut zip = zip::ZipWriter::new(std::fs::File::create(place.path("a.zip")).unwrap());
        let mut tar = tar::Builder::new(std::fs::File::create(place.path("a.tar")).unwrap());
        let files =
            (0..16).map(|i| (format!("{prefix}{}/{i}.png", if i % 2 == 0 { "cat" } else { "dog" }), png(i)));
        let hidden =
            [format!("{prefix}cat/._0.png"), format!("{litter}.DS_Store"), format!("__MACOSX/{prefix}._x")];
        for (name, bytes) in files.chain(hidden.map(|name| (name, b"litter".to_vec()))) {
            zip.start_file(name.as_str(), zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(&bytes).unwrap();
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            // What `append_data` would not write: names that lead out.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            tar.append(&header, bytes.as_slice()).unwrap();
        }
        zip.finish().unwrap();
        tar.finish().unwrap();
        for (source, name) in [("a.zip", "zip"), ("a.tar", "tar")] {
            let found = place.import(source, |request| request.name = name.into()).unwrap();
            assert_eq!(counts(&found), expect(&[("cat", 6, 0, 2), ("dog", 6, 0, 2)]), "{source}, {prefix}");
            assert_eq!((found.litter, found.left_out.len()), (3, 0), "{source}, {prefix}");
        }
    }
    let place = Place::new();
    place.images("own/.keras/cat", 3, 1);
    let refused = place.import("own", |_| {}).unwrap_err();
    assert!(refused.contains("no files but 1 with hidden names"), "{refused}");
}

#[cfg(unix)]
#[test]
fn names_that_are_no_utf8_stay_apart() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let names: [&[u8]; 3] = [b"caf\xe9", b"caf\xe8", b"tee"];
    let mut tar = tar::Builder::new(std::fs::File::create(place.path("a.tar")).unwrap());
    for (number, name) in (0u32..).zip(names) {
        let folder = place.path("own").join(std::ffi::OsStr::from_bytes(name));
        std::fs::create_dir_all(&folder).unwrap();
        for image in 0..4 {
            let bytes = png(1000 * number + image);
            std::fs::write(folder.join(format!("{image}.png")), &bytes).unwrap();
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            let path = [name, format!("/{image}.png").as_bytes()].concat();
            header.as_old_mut().name[..path.len()].copy_from_slice(&path);
            header.set_cksum();
            tar.append(&header, bytes.as_slice()).unwrap();
        }
    }
    tar.finish().unwrap();
    for source in ["own", "a.tar"] {
        let found = place.import(source, |request| request.name = format!("x{}", source.len())).unwrap();
        assert_eq!(counts(&found), expect(&[("caf%E8", 3, 0, 1), ("caf%E9", 3, 0, 1), ("tee", 3, 0, 1)]));
    }
}

#[test]
fn files_of_several_images_are_noted() {
    let place = Place::new();
    for (class, seed) in [("cat", 1), ("dog", 2)] {
        place.images(&format!("own/{class}"), 3, seed);
    }
    for (name, frames) in [("own/cat/1.gif", 1), ("own/cat/2.gif", 2), ("own/dog/3.gif", 3)] {
        let mut bytes = Vec::new();
        let mut encoder = image::codecs::gif::GifEncoder::new(&mut bytes);
        for frame in 0..frames {
            let image = image::DynamicImage::from(picture(90 + 10 * frames + frame)).to_rgba8();
            encoder.encode_frame(image::Frame::new(image)).unwrap();
        }
        drop(encoder);
        place.write(name, bytes);
    }
    let found = place.import("own", |_| {}).unwrap();
    assert_eq!(counts(&found), expect(&[("cat", 4, 0, 1), ("dog", 3, 0, 1)]));
    assert!(
        found.notes.iter().any(|note| note.starts_with("2 files have several images")),
        "{:?}",
        found.notes
    );
}

#[test]
fn what_is_nearly_a_list_or_a_table_is_named() {
    let place = Place::new();
    place.images("own", 6, 1);
    let utf16: Vec<u8> =
        "\u{feff}file\tlabel\n0.png\t1\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let long = format!("file,label\n0.png,{}\n1.png,b\n", "y".repeat(70_000));
    for (name, bytes, expected) in [
        ("own.json", br#" [ {"file": "0.png", "label": 1}]"#.to_vec(), "a JSON array"),
        ("own.csv", utf16, "text in UTF-16"),
        ("own.csv", b"file,label\n".to_vec(), "no rows"),
        ("own.csv", long.into_bytes(), "a label of 70000 characters"),
    ] {
        place.write(&format!("own/{name}"), bytes);
        let refused = place.import(&format!("own/{name}"), |_| {}).unwrap_err();
        assert!(refused.contains(expected) && refused.len() < 1000, "{expected}: {refused}");
        assert!(!place.path("datasets/x").exists());
    }
}

#[test]
fn a_zip_file_that_has_a_name_twice_says_so() {
    let place = Place::new();
    place.images("own/cat", 4, 1);
    place.images("own/dog", 4, 2);
    let mut zip = zip::ZipWriter::new(std::fs::File::create(place.path("a.zip")).unwrap());
    for name in ["cat/0.png", "cat/1.png", "cat/2.png", "cat/x.png", "dog/0.png", "dog/1.png", "dog/2.png"] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        let image =
            if name == "cat/x.png" { png(77) } else { std::fs::read(place.path("own").join(name)).unwrap() };
        zip.write_all(&image).unwrap();
    }
    zip.finish().unwrap();
    let bytes = std::fs::read(place.path("a.zip")).unwrap();
    let found = place.import("a.zip", |_| {}).unwrap();
    assert!(found.left_out.is_empty(), "{:?}", found.left_out);
    // As Python's zipfile writes it where a name is given twice.
    let mut twice = bytes;
    for at in 0..twice.len() - 9 {
        if &twice[at..at + 9] == b"cat/x.png" {
            twice[at + 4] = b'0';
        }
    }
    place.write("b.zip", twice);
    let found = place.import("b.zip", |request| request.name = "y".into()).unwrap();
    let left: Vec<&str> = found.left_out.iter().map(|out| out.name.as_str()).collect();
    assert_eq!(left, ["1 entries"]);
}

/// macOS writes `é` as `e` and an accent; people, and most other systems, as one character.
#[test]
fn names_that_look_the_same_are_the_same() {
    let (one, two) = ("caf\u{e9}", "cafe\u{301}");
    let place = Place::new();
    for (class, seed) in [(two, 1), ("tee", 2)] {
        place.images(&format!("own/train/{class}"), 8, seed);
    }
    for (class, seed) in [(one, 11), ("tee", 12)] {
        place.images(&format!("own/test/{class}"), 3, seed);
    }
    let found = place.import("own", |_| {}).unwrap();
    assert_eq!(counts(&found), expect(&[(one, 8, 0, 3), ("tee", 8, 0, 3)]));

    let place = Place::new();
    let mut list = String::from("file,class\n");
    for index in 0..20 {
        place.write(&format!("own/{two}/{two}{index}.png"), png(index));
        list += &format!("{one}/{one}{index}.png,{}\n", if index < 10 { one } else { "tee" });
    }
    place.write("own/list.csv", list);
    let found = place.import("own/list.csv", |_| {}).unwrap();
    assert_eq!(counts(&found), expect(&[(one, 8, 0, 2), ("tee", 8, 0, 2)]));
    assert_eq!((found.left_out, found.unreadable), (Vec::new(), Vec::new()));
}
