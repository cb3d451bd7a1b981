//! Pictures as people send them: what is read, and what an answer is worth. Composed of the drawings in
//! `tests/data/digits`, none of which is from MNIST.

use image::{GrayImage, Luma};
use serde_json::Value;
use tests::{Server, root, run, succeed};

/// The model that photographs are for.
const MODEL: &str = "mnist-robust";

/// Drawings by strokes, of this digit.
fn drawing(digit: char, number: usize) -> GrayImage {
    let files = infer::decode::image_files(&root().join("tests/data/digits")).unwrap().files;
    let name = |file: &std::path::PathBuf| file.file_name().unwrap().to_str().unwrap().to_owned();
    let all: Vec<_> =
        files.iter().filter(|file| name(file).starts_with(digit) && name(file).contains("stroke")).collect();
    infer::decode::read_image(all[number % all.len()]).unwrap().to_luma8()
}

/// Digits beside each other on one sheet, `rows` of them, each 140 pixels high, in a light.
fn sheet(rows: &[&str], light: impl Fn(f32, f32) -> f32) -> GrayImage {
    let columns = rows.iter().map(|row| row.len()).max().unwrap_or(0) as u32;
    let (width, height) = (110 * columns + 80, 170 * rows.len() as u32 + 80);
    let mut ink = GrayImage::from_pixel(width, height, Luma([255]));
    for (line, row) in rows.iter().enumerate() {
        for (place, digit) in row.chars().enumerate() {
            let small = image::imageops::thumbnail(&drawing(digit, place + 3 * line), 140, 140);
            for (x, y, level) in small.enumerate_pixels() {
                let (x, y) = (40 + 110 * place as u32 + x, 50 + 170 * line as u32 + y);
                if x < width && y < height {
                    let pixel = ink.get_pixel_mut(x, y);
                    pixel.0[0] = pixel.0[0].min(level.0[0]);
                }
            }
        }
    }
    GrayImage::from_fn(width, height, |x, y| {
        let paper = 60.0 + 180.0 * f32::from(ink.get_pixel(x, y).0[0]) / 255.0;
        Luma([(paper * light(x as f32 / width as f32, y as f32 / height as f32)) as u8])
    })
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn read(dir: &std::path::Path, image: &GrayImage) -> Value {
    image.save(dir.join("x.png")).unwrap();
    let zoo = root().join("zoo");
    let answer =
        succeed("infer", dir, ["read", "x.png", "--model", MODEL, "--zoo", zoo.to_str().unwrap(), "--json"]);
    json(&answer)["readings"][0].clone()
}

#[test]
fn numbers_and_lines_of_them_are_read_in_order() {
    let dir = tempfile::tempdir().unwrap();
    type Light<'a> = &'a dyn Fn(f32, f32) -> f32;
    let lights: [(&str, Light<'_>); 3] = [
        ("even", &|_, _| 1.0),
        ("falling off", &|x, y| 1.0 - 0.6 * (x + y) / 2.0),
        ("a shadow", &|x, y| if x + 0.4 * y > 0.7 { 0.5 } else { 1.0 }),
    ];
    for (name, light) in lights {
        let found = read(dir.path(), &sheet(&["31", "5074"], light));
        assert_eq!(found["text"], "31\n5074", "{name}: {found}");
        assert_eq!(found["reading"]["rows"].as_array().unwrap().len(), 2);
        let objects = found["reading"]["rows"][1]["objects"].as_array().unwrap();
        let left: Vec<u64> =
            objects.iter().map(|object| object["bounds"]["left"].as_u64().unwrap()).collect();
        assert!(left.is_sorted() && left[0] > 20, "{left:?}");
    }
}

#[test]
fn a_marked_picture_shows_what_was_read() {
    let dir = tempfile::tempdir().unwrap();
    sheet(&["42"], |_, _| 1.0).save(dir.path().join("x.png")).unwrap();
    let zoo = root().join("zoo");
    let arguments = ["read", "x.png", "--model", MODEL, "--picture", "x.svg", "--zoo", zoo.to_str().unwrap()];
    assert_eq!(succeed("infer", dir.path(), arguments), "42\n");
    let svg = std::fs::read_to_string(dir.path().join("x.svg")).unwrap();
    assert_eq!((svg.matches("<rect").count(), svg.matches(">4</text>").count()), (2, 1));
    let outcome = run(
        "infer",
        dir.path(),
        ["read", "x.png", "x.png", "--picture", "y.svg", "--zoo", zoo.to_str().unwrap()],
    );
    tests::assert_refused("two images, one picture", &outcome, &["--picture: 2 images, expected 1"]);
    // The image is not written over, and what was read is told though no picture can be written.
    let before = std::fs::read(dir.path().join("x.png")).unwrap();
    std::os::unix::fs::symlink("x.png", dir.path().join("link.svg")).unwrap();
    for picture in ["x.png", "link.svg"] {
        let same =
            run("infer", dir.path(), ["read", "x.png", "--picture", picture, "--zoo", zoo.to_str().unwrap()]);
        tests::assert_refused(picture, &same, &["is the same file as x.png"]);
    }
    assert_eq!(std::fs::read(dir.path().join("x.png")).unwrap(), before);
    for (picture, expected) in [("nowhere/x.svg", "nowhere: No such file"), (".", "is a folder")] {
        let outcome =
            run("infer", dir.path(), ["read", "x.png", "--picture", picture, "--zoo", zoo.to_str().unwrap()]);
        assert!(outcome.code == Some(2) && outcome.stdout == "42\n", "{outcome:?}");
        assert!(outcome.stderr.contains(expected) && !outcome.stderr.contains(".tmp-"), "{outcome:?}");
    }
    // Models that take a picture as one object would read one digit of it.
    for model in ["mnist-lite", "fashion-cnn@1"] {
        let one =
            run("infer", dir.path(), ["read", "x.png", "--model", model, "--zoo", zoo.to_str().unwrap()]);
        tests::assert_refused(model, &one, &["finds no objects"]);
    }
}

/// What is said of each kind of image, in JSON and in text.
#[test]
fn an_answer_says_what_it_is_worth() {
    let dir = tempfile::tempdir().unwrap();
    let noise = |x: u32, y: u32| {
        ((x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)).wrapping_mul(2_246_822_519) >> 24) as u8
    };
    let images = [
        ("blank", GrayImage::from_pixel(300, 200, Luma([241]))),
        ("digit", sheet(&["3"], |_, _| 1.0)),
        ("noise", GrayImage::from_fn(280, 280, |x, y| Luma([noise(x, y)]))),
        ("two", sheet(&["38"], |_, _| 1.0)),
    ];
    for (name, image) in &images {
        image.save(dir.path().join(format!("{name}.png"))).unwrap();
    }
    let zoo = root().join("zoo");
    let options = ["--model", MODEL, "--zoo", zoo.to_str().unwrap()];
    let answers = json(&succeed("infer", dir.path(), ["predict", ".", "--json"].iter().chain(&options)));
    let statuses: Vec<&str> = answers["predictions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|answer| answer["status"].as_str().unwrap())
        .collect();
    assert_eq!((statuses[0], statuses[1], statuses[3]), ("empty", "ok", "several"), "{answers}");
    assert_ne!(statuses[2], "ok");
    let text = succeed("infer", dir.path(), ["predict", "."].iter().chain(&options));
    for part in
        ["blank.png: empty: nothing is on this image", "digit.png: 3 ", "two.png: ", "(several: 2 objects"]
    {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
}

#[test]
fn sets_promise_coverage_and_other_promises_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    sheet(&["7"], |_, _| 1.0).save(dir.path().join("x.png")).unwrap();
    let zoo = root().join("zoo");
    let predict = |more: &[&str]| {
        run("infer", dir.path(), ["predict", "x.png", "--zoo", zoo.to_str().unwrap()].iter().chain(more))
    };
    let outcome = predict(&["--model", MODEL, "--coverage", "0.99", "--json"]);
    assert_eq!(json(&outcome.stdout)["predictions"][0]["set"], serde_json::json!(["7"]), "{outcome:?}");
    let outcome = predict(&["--model", MODEL, "--coverage", "0.97"]);
    tests::assert_refused("another promise", &outcome, &["coverage 0.97, expected one of 0.8, 0.9"]);
    let outcome = predict(&["--model", "mnist-cnn@1", "--coverage", "0.99"]);
    tests::assert_refused("no promise", &outcome, &["promises no coverage"]);
}

#[test]
fn each_step_is_written_as_a_picture() {
    let dir = tempfile::tempdir().unwrap();
    sheet(&["6"], |x, _| 1.0 - 0.5 * x).save(dir.path().join("x.png")).unwrap();
    let zoo = root().join("zoo");
    let options = ["--model", MODEL, "--zoo", zoo.to_str().unwrap(), "--save-steps", "steps"];
    succeed("infer", dir.path(), ["predict", "x.png"].iter().chain(&options));
    let mut names: Vec<String> = std::fs::read_dir(dir.path().join("steps"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!((names[3].as_str(), names.len()), ("x-04-flatten_light.png", 10), "{names:?}");
    let input = image::open(dir.path().join("steps").join(names.last().unwrap())).unwrap();
    assert_eq!(input.height(), 28);

    // Images of one name do not take each other's pictures.
    std::fs::create_dir(dir.path().join("y")).unwrap();
    for name in ["x.bmp", "y/x.png", "y/x.bmp"] {
        std::fs::copy(dir.path().join("x.png"), dir.path().join(name)).unwrap();
    }
    succeed("infer", dir.path(), ["predict", "x.png", "x.bmp", "y"].iter().chain(&options));
    let first: Vec<bool> = ["x", "x.bmp", "x.bmp-2", "x.png"]
        .map(|name| dir.path().join(format!("steps/{name}-01-{}", &names[0]["x-01-".len()..])).is_file())
        .into();
    assert_eq!(
        first,
        [true; 4],
        "{:?}",
        std::fs::read_dir(dir.path().join("steps")).unwrap().collect::<Vec<_>>()
    );
    assert_eq!(std::fs::read_dir(dir.path().join("steps")).unwrap().count(), 40);
}

#[test]
fn what_else_is_in_a_folder_is_said() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("photos/inner")).unwrap();
    sheet(&["6"], |_, _| 1.0).save(dir.path().join("photos/x.png")).unwrap();
    std::fs::write(dir.path().join("photos/._x.png"), "AppleDouble").unwrap();
    std::fs::write(dir.path().join("photos/notes.txt"), "x").unwrap();
    for command in ["predict", "read"] {
        let zoo = root().join("zoo");
        let arguments = [command, "photos", "--model", MODEL, "--zoo", zoo.to_str().unwrap()];
        let outcome = tests::run("infer", dir.path(), arguments);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        let expected = "photos: not looked at: 2 other files and 1 other folder";
        assert!(outcome.stderr.contains(expected), "{outcome:?}");
    }
}

/// Where results go that a user names a device for: into it, not over it.
#[cfg(unix)]
#[test]
fn pictures_are_whole_and_devices_stay() {
    let dir = tempfile::tempdir().unwrap();
    sheet(&["6"], |_, _| 1.0).save(dir.path().join("x.png")).unwrap();
    let zoo = root().join("zoo");
    let picture = |name: &str| {
        let arguments =
            ["read", "x.png", "--model", MODEL, "--zoo", zoo.to_str().unwrap(), "--picture", name];
        tests::run("infer", dir.path(), arguments)
    };
    let outcome = picture("/dev/stdout");
    assert!(outcome.code == Some(0) && outcome.stdout.contains("<svg "), "{outcome:?}");
    std::os::unix::fs::symlink("/dev/full", dir.path().join("full")).unwrap();
    let outcome = picture("full");
    tests::assert_refused("a full disk", &outcome, &["full", "space"]);
    assert!(dir.path().join("full").is_symlink());
}

#[test]
fn the_server_says_the_same() {
    let server = Server::start(&root().join("zoo"), &[]);
    let mut png = std::io::Cursor::new(Vec::new());
    sheet(&["25"], |_, _| 1.0).write_to(&mut png, image::ImageFormat::Png).unwrap();
    let answer = server.post(&format!("/predict?model={MODEL}&read=true&steps=true"), png.get_ref()).json();
    assert_eq!(
        (&answer["status"], &answer["reading"]["text"]),
        (&"several".into(), &"25".into()),
        "{answer}"
    );
    assert_eq!(answer["objects"].as_array().unwrap().len(), 2);
    assert_eq!(answer["steps"].as_array().unwrap().last().unwrap()["step"], "fit_box");
    assert_eq!(answer["image"]["width"], 300);
    let plain = server.post(&format!("/predict?model={MODEL}"), png.get_ref()).json();
    assert!(plain["reading"].is_null() && plain["steps"].is_null());
}
