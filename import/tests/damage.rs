//! Damaged input: each kind is named, none is taken without a word.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::io::Write;

use common::{Place, encoded, png};
use image::ImageFormat;
use import::Request;

/// Two classes of sound images with one damaged file among them; what is said of it.
fn beside_sound_images(name: &str, bytes: &[u8]) -> Result<String, String> {
    let place = Place::new();
    place.images("own/a", 6, 1);
    place.images("own/b", 6, 2);
    place.write(&format!("own/a/{name}"), bytes);
    let said = place.import("own", |_| {});
    let skipped = place.import("own", |request| {
        request.name = "y".into();
        request.skip_unreadable = true;
    });
    // With --skip-unreadable the same is left out and named.
    let skipped = skipped.unwrap();
    let named = skipped.unreadable.iter().chain(&skipped.left_out);
    assert!(named.filter(|out| out.name.ends_with(name)).count() == 1, "{name}: {skipped:?}");
    match said {
        Err(refused) => Err(refused),
        Ok(found) => Ok(found.left_out.into_iter().map(|out| format!("{}: {}", out.name, out.why)).collect()),
    }
}

fn half(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len() / 2].to_vec()
}

fn changed(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 0x55;
    bytes
}

/// A PNG that says it has so many pixels.
fn png_of(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = png(1);
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let mut crc = flate2::Crc::new();
    crc.update(&bytes[12..29]);
    let sum = crc.sum();
    bytes[29..33].copy_from_slice(&sum.to_be_bytes());
    bytes
}

#[test]
fn damaged_image_files() {
    let jpeg = encoded(7, ImageFormat::Jpeg);
    let whole = png(7);
    // The end of the head, before any scan.
    let head = jpeg.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("half.jpg", half(&jpeg)),
        ("without-end.jpg", jpeg[..jpeg.len() - 20].to_vec()),
        ("head-alone.jpg", jpeg[..head].to_vec()),
        ("half.png", half(&whole)),
        ("checksum.png", changed(&whole, whole.len() / 2)),
        ("head-alone.png", whole[..33].to_vec()),
        ("no-pixels.png", png_of(0, 0)),
        ("bomb.png", png_of(100_000, 100_000)),
        ("another-size.png", png_of(12, 50)),
        ("half.gif", half(&encoded(7, ImageFormat::Gif))),
        ("half.bmp", half(&encoded(7, ImageFormat::Bmp))),
        ("half.tiff", half(&encoded(7, ImageFormat::Tiff))),
        ("half.webp", half(&encoded(7, ImageFormat::WebP))),
        ("head.bmp", encoded(7, ImageFormat::Bmp)[..20].to_vec()),
        ("empty.png", Vec::new()),
        ("zeros.jpg", vec![0; 5000]),
        ("page.jpg", b"<!DOCTYPE html><html><title>404</title></html>".to_vec()),
        ("text.png", b"see attached".to_vec()),
        ("paper.jpg", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n".to_vec()),
        (
            "pointer.png",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n".to_vec(),
        ),
        ("phone.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".to_vec()),
        ("new.avif", b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf".to_vec()),
        ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec()),
        ("notes.txt", b"cat, cat, dog".to_vec()),
        ("film.mp4", b"\0\0\0\x20ftypisom".to_vec()),
    ];
    for (name, bytes) in cases {
        let said = beside_sound_images(name, &bytes);
        let said = said.unwrap_or_else(|refused| refused);
        assert!(said.contains(name), "{name}: {said}");
    }
}

/// A source that is damaged as a whole, what to ask for, and words of what is said.
type Case<'a> = (&'a str, Vec<u8>, Box<dyn Fn(&mut Request)>, &'a str);

fn plain() -> Box<dyn Fn(&mut Request)> {
    Box::new(|_| {})
}

fn zipped(encrypted: bool) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (index, class) in ["a", "b"].iter().enumerate() {
        for image in 0..6u32 {
            let options = zip::write::SimpleFileOptions::default();
            writer.start_file(format!("{class}/{image}.png"), options).unwrap();
            writer.write_all(&png(1000 * (index as u32 + 1) + image)).unwrap();
        }
    }
    let mut bytes = writer.finish().unwrap().into_inner();
    if encrypted {
        // The flag in every head.
        for at in 0..bytes.len() - 10 {
            match &bytes[at..at + 4] {
                b"PK\x03\x04" => bytes[at + 6] |= 1,
                b"PK\x01\x02" => bytes[at + 8] |= 1,
                _ => {}
            }
        }
    }
    bytes
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn tarred() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (index, class) in ["a", "b"].iter().enumerate() {
        for image in 0..6u32 {
            let bytes = png(1000 * (index as u32 + 1) + image);
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, format!("{class}/{image}.png"), bytes.as_slice()).unwrap();
        }
    }
    builder.into_inner().unwrap()
}

fn npy(kind: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let mut head = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}").into_bytes();
    head.resize((head.len() + 11).next_multiple_of(64) - 11, b' ');
    head.push(b'\n');
    let length = (head.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00".as_slice(), &length, &head, data].concat()
}

fn table(change: impl Fn(&mut String)) -> Vec<u8> {
    let row = |index: u32| {
        let values: Vec<String> = (0..16).map(|at| ((index * 31 + at * 17) % 256).to_string()).collect();
        format!("{},{}\n", if index.is_multiple_of(2) { "a" } else { "b" }, values.join(","))
    };
    let mut text: String = (0..20).map(row).collect();
    change(&mut text);
    text.into_bytes()
}

fn whole_sources() -> Vec<Case<'static>> {
    let zip = zipped(false);
    let data = zip.windows(8).position(|bytes| bytes == b"\x89PNG\r\n\x1a\n").unwrap();
    let tar_gz = gzipped(&tarred());
    let replaced =
        |from: &'static str, to: &'static str| table(move |text| *text = text.replacen(from, to, 1));
    // No two images are alike: they would be left out as duplicates.
    let pixels: Vec<u8> = (0..320u32).map(|at| (at * 37 + at / 16 * 11) as u8).collect();
    let one_is_nan: Vec<u8> = (0..320)
        .map(|at| if at == 33 { f32::NAN } else { at as f32 / 2.0 })
        .flat_map(f32::to_le_bytes)
        .collect();
    let open_quote = [table(|_| ()), b"a,\"".to_vec(), b"x\n".repeat(9 << 20)].concat();
    let keys: String = (0..2000)
        .map(|at| format!("{{\"file_name\": \"1.png\", \"label\": \"a\", \"k{at}\": 1}}\n"))
        .collect();
    let images = [&[0u8, 0, 8, 3, 0, 0, 0, 20, 0, 0, 0, 4, 0, 0, 0, 4][..], &pixels].concat();
    let huge = [&[0u8, 0, 8, 3][..], &[0xff; 12], &[9; 320]].concat();
    let labelled = |request: &mut Request| {
        request.labels = Some(request.source.with_file_name("labels"));
    };
    let with_npy = |request: &mut Request| request.labels = Some(request.source.with_file_name("labels.npy"));
    let utf16: Vec<u8> =
        [0xff, 0xfe].into_iter().chain(table(|_| ()).into_iter().flat_map(|b| [b, 0])).collect();
    vec![
        ("cut.zip", half(&zip), plain(), "cut.zip"),
        ("encrypted.zip", zipped(true), plain(), "Password required"),
        ("checksum.zip", changed(&zip, data + 50), plain(), "a/0.png"),
        ("cut.tar.gz", half(&tar_gz), plain(), "cut.tar.gz"),
        ("checksum.tar.gz", changed(&tar_gz, tar_gz.len() - 6), plain(), "checksum.tar.gz"),
        ("cut.tar", half(&tarred()), plain(), "cut.tar"),
        ("word.csv", replaced(",17,", ",seventeen,"), plain(), "line 1: column 3: \"seventeen\""),
        ("hole.csv", replaced(",17,", ",,"), plain(), "line 1: column 3: \"\""),
        ("short-row.csv", replaced(",17,", ","), plain(), "short-row.csv"),
        ("long-row.csv", replaced(",17,", ",17,1,"), plain(), "long-row.csv"),
        ("nan.csv", replaced(",17,", ",NaN,"), plain(), "column 3"),
        ("infinite.csv", replaced(",17,", ",inf,"), plain(), "column 3"),
        ("below.csv", replaced(",17,", ",-17,"), plain(), "below 0"),
        ("above.csv", replaced(",17,", ",70000,"), plain(), "expected 0 to 255"),
        ("utf16.csv", utf16, plain(), "utf16.csv"),
        ("latin.csv", [b"\xe9t\xe9".as_slice(), &table(|_| ())].concat(), plain(), "latin.csv"),
        ("empty.csv", Vec::new(), plain(), "an empty file"),
        ("header.csv", b"label,a,b,c,d\n".to_vec(), plain(), "header.csv"),
        ("cut.csv.gz", half(&gzipped(&table(|_| ()))), plain(), "cut.csv.gz"),
        ("cut-idx3-ubyte", images[..200].to_vec(), Box::new(labelled), "cut-idx3-ubyte"),
        (
            "long-idx3-ubyte",
            [images.as_slice(), &[1; 9]].concat(),
            Box::new(labelled),
            "expected the end after",
        ),
        ("huge-idx3-ubyte", huge, Box::new(labelled), "huge-idx3-ubyte"),
        ("kind-idx3-ubyte", changed(&images, 2), Box::new(labelled), "kind-idx3-ubyte"),
        (
            "more-idx3-ubyte",
            [&[0u8, 0, 8, 3, 0, 0, 0, 19], &images[8..320]].concat(),
            Box::new(labelled),
            "19",
        ),
        ("cut.npy", npy("|u1", "(20, 4, 4)", &[7; 99]), Box::new(with_npy), "cut.npy"),
        ("objects.npy", npy("|O", "(20, 4, 4)", &[7; 320]), Box::new(with_npy), "Python objects"),
        ("complex.npy", npy("<c8", "(20, 4, 4)", &[7; 2560]), Box::new(with_npy), "complex.npy"),
        ("flat.npy", npy("|u1", "(320,)", &[7; 320]), Box::new(with_npy), "shape [320]"),
        ("huge.npy", npy("|u1", "(99999999999, 4, 4)", &[7; 320]), Box::new(with_npy), "huge.npy"),
        (
            "overflow.npy",
            npy("|u1", "(4294967296, 4294967296)", &[7; 320]),
            Box::new(with_npy),
            "overflow.npy",
        ),
        (
            "more.npy",
            npy("|u1", "(20, 4, 4)", &[pixels.as_slice(), &[1]].concat()),
            Box::new(with_npy),
            "expected the end after",
        ),
        ("nan.npy", npy("<f4", "(20, 4, 4)", &one_is_nan), Box::new(with_npy), "no numbers"),
        ("open-quote.csv.gz", gzipped(&open_quote), plain(), "a row of more than"),
        ("keys.jsonl", keys.into_bytes(), plain(), "at most in all lines"),
        ("head.npy", b"\x93NUMPY\x01\x00\xff\xff{'descr'".to_vec(), Box::new(with_npy), "head.npy"),
        ("arrays.pkl", b"\x80\x04\x95\x10\0\0\0\0\0\0\0}".to_vec(), plain(), "pickle"),
        ("data.mat", b"MATLAB 5.0 MAT-file, Platform: GLNXA64".to_vec(), plain(), "MATLAB"),
        ("data.h5", b"\x89HDF\r\n\x1a\n\0\0\0\0".to_vec(), plain(), "HDF5"),
        ("one.png", png(1), plain(), "one image"),
        (
            "pointer.csv",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n".to_vec(),
            plain(),
            "Git LFS",
        ),
        ("cut.parquet", b"PAR1\x15\x04\x15\x10".to_vec(), plain(), "cut.parquet"),
        (
            "long.parquet",
            [b"PAR1".as_slice(), &[0; 99], &[0xff; 4], b"PAR1"].concat(),
            plain(),
            "a description of",
        ),
        ("deep.parquet", deep(), plain(), "columns of more than 32 levels"),
        ("lines.jsonl", b"{\"file_name\": \"a.png\", \"label\": 1}\n{\"file".to_vec(), plain(), "line 2"),
        (
            "twice.jsonl",
            b"{\"file_name\": \"a.png\", \"label\": 1, \"label\": 2}\n".to_vec(),
            plain(),
            "line 1: \"label\" twice",
        ),
        ("missing.csv", b"file,label\n1.png,a\n2.png,b\ngone.png,a\n".to_vec(), plain(), "line 4"),
        ("outside.csv", b"file,label\n1.png,a\n2.png,b\n../secret.png,a\n".to_vec(), plain(), "line 4"),
    ]
}

/// A file of Parquet whose columns are in columns, 130,000 deep: as many as a description may hold.
fn deep() -> Vec<u8> {
    // Thrift's compact protocol: version 1, then a list of elements of names "a" with one child each.
    let count = 130_000u32;
    let mut footer = vec![0x15, 0x02, 0x19, 0xfc];
    let mut rest = count;
    while rest >= 0x80 {
        footer.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    footer.push(rest as u8);
    for _ in 0..count - 1 {
        footer.extend([0x35, 0x00, 0x18, 0x01, b'a', 0x15, 0x02, 0x00]);
    }
    footer.extend([0x15, 0x02, 0x25, 0x00, 0x18, 0x01, b'a', 0x00]);
    footer.extend([0x16, 0x00, 0x19, 0x0c, 0x00]);
    let length = (footer.len() as u32).to_le_bytes();
    [b"PAR1".as_slice(), &footer, &length, b"PAR1"].concat()
}

#[test]
fn damaged_sources() {
    let mut wrong = Vec::new();
    for (name, bytes, change, expected) in whole_sources() {
        let place = Place::new();
        place.write(name, bytes);
        place.write("labels", [&[0u8, 0, 8, 1, 0, 0, 0, 20][..], &[0, 1].repeat(10)].concat());
        place.write("labels.npy", npy("<i8", "(20,)", &[0u64, 1].map(u64::to_le_bytes).concat().repeat(10)));
        place.write("1.png", png(1));
        place.write("2.png", png(2));
        let said = place.import(name, |request| change(request));
        match said {
            Err(refused) if refused.contains(expected) => {}
            other => wrong.push(format!("{name}: {other:?}, expected {expected:?}")),
        }
        assert!(!place.path("datasets/x").exists() || !wrong.is_empty(), "{name}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_named() {
    use std::os::unix::fs::symlink;
    let place = Place::new();
    place.images("own/a", 6, 1);
    place.images("own/b", 6, 2);
    symlink("nothing.png", place.path("own/a/dangling.png")).unwrap();
    symlink("loop.png", place.path("own/a/loop.png")).unwrap();
    symlink("..", place.path("own/a/up")).unwrap();
    let status = std::process::Command::new("mkfifo").arg(place.path("own/b/pipe.png")).status().unwrap();
    assert!(status.success());
    let said = match place.import("own", |request| request.skip_unreadable = true) {
        Ok(found) => format!("{:?} {:?}", found.left_out, found.unreadable),
        Err(refused) => refused,
    };
    for name in ["dangling.png", "loop.png", "up", "pipe.png"] {
        assert!(said.contains(name), "{name}: {said}");
    }
}
