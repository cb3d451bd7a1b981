//! A reader who leaves early, and nobody who reads at all.

use std::io::Read;
use std::process::Stdio;

use tests::{command, root};

/// What every command that reports prints on its way, as text and as JSON.
const COMMANDS: [(&str, &[&str]); 9] = [
    ("infer", &["list"]),
    ("infer", &["list", "--json"]),
    ("infer", &["show", "mnist-lite"]),
    ("infer", &["show", "mnist-lite", "--json"]),
    ("infer", &["verify", "mnist-lite"]),
    ("infer", &["predict", "docs/seven.png", "docs/seven.png", "--show"]),
    ("infer", &["predict", "docs/seven.png", "--json"]),
    ("zoo", &["lint", "--json"]),
    ("zoo", &["index", "--check"]),
];

#[test]
fn a_reader_that_leaves_ends_nothing_in_a_panic() {
    for (program, arguments) in COMMANDS {
        for keep in [0, 1] {
            let mut command = command(program, &root());
            let mut child =
                command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let mut stdout = child.stdout.take().unwrap();
            // As `head -c 1` or `head -0` do.
            stdout.read_exact(&mut vec![0; keep]).unwrap();
            drop(stdout);
            let output = child.wait_with_output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(0), "{program} {arguments:?}: {stderr}");
            assert!(!stderr.contains("panicked") && !stderr.contains("internal error"), "{stderr}");
        }
    }
}

/// A picture into what a descriptor or a link stands for.
#[test]
fn pictures_go_where_their_path_leads() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let show = |picture: &std::path::Path, output: Stdio| {
        let arguments = ["show", "mnist-lite", "--graph", picture.to_str().unwrap()];
        assert!(command("infer", &root()).args(arguments).stdout(output).status().unwrap().success());
    };
    let text = |name: &str| std::fs::read_to_string(path(name)).unwrap();
    // Standard output is a file that has something already, as with `>>`.
    std::fs::write(path("log"), "before\n").unwrap();
    let log = std::fs::File::options().append(true).open(path("log")).unwrap();
    show("/dev/stdout".as_ref(), log.into());
    let found = text("log");
    let drawing = &found["before\n".len()..];
    assert!(
        found.starts_with("before\n") && drawing.contains("<svg") && drawing.contains("</svg>"),
        "{found}"
    );
    assert!(drawing.contains("## First layer"), "the card too: {found}");
    // And one from its beginning, as with `>`: what is printed does not lie over the picture.
    show("/dev/stdout".as_ref(), std::fs::File::create(path("new")).unwrap().into());
    assert_eq!(text("new"), drawing);
    // Links to a file, relative too, and to what is not there yet.
    std::fs::create_dir(path("below")).unwrap();
    std::fs::write(path("below/old.svg"), "old").unwrap();
    std::os::unix::fs::symlink("below/old.svg", path("link.svg")).unwrap();
    std::os::unix::fs::symlink("below/new.svg", path("ahead.svg")).unwrap();
    for (link, file) in [("link.svg", "below/old.svg"), ("ahead.svg", "below/new.svg")] {
        show(&path(link), Stdio::null());
        assert!(text(file).starts_with("<svg"), "{file}");
        assert!(path(link).is_symlink());
    }
    // A link to a link, one to standard output, and a file below /proc.
    std::os::unix::fs::symlink("more.svg", path("below/next.svg")).unwrap();
    std::os::unix::fs::symlink("below/next.svg", path("two.svg")).unwrap();
    show(&path("two.svg"), Stdio::null());
    assert!(text("below/more.svg").starts_with("<svg") && path("below/next.svg").is_symlink());
    std::os::unix::fs::symlink("/dev/stdout", path("out.svg")).unwrap();
    show(&path("out.svg"), std::fs::File::create(path("new")).unwrap().into());
    assert_eq!(text("new"), drawing);
    let through = std::path::Path::new("/proc").join(std::process::id().to_string()).join("root");
    show(&through.join(path("below/old.svg").strip_prefix("/").unwrap()), Stdio::null());
    assert_eq!(text("below/old.svg"), text("below/new.svg"));
    // Links in a circle.
    std::os::unix::fs::symlink("round.svg", path("round.svg")).unwrap();
    let arguments = ["show", "mnist-lite", "--graph", path("round.svg").to_str().unwrap()].map(str::to_owned);
    assert_eq!(
        command("infer", &root()).args(arguments).stdout(Stdio::null()).status().unwrap().code(),
        Some(2)
    );
    show("/dev/null".as_ref(), Stdio::null());
    assert!(!std::path::Path::new("/dev/null").is_file());
}

#[test]
fn a_failed_check_is_told_by_the_exit_code_though_nobody_reads() {
    let dir = tempfile::tempdir().unwrap();
    let version = dir.path().join("zoo/models/mnist-lite/1");
    tests::copy_dir(&root().join("zoo/models/mnist-lite/1"), &version).unwrap();
    std::fs::write(version.join("extra"), "").unwrap();
    for arguments in [["verify", "--json"], ["verify", "mnist-lite"]] {
        let mut command = command("infer", dir.path());
        let mut child =
            command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        assert_eq!(child.wait().unwrap().code(), Some(1));
    }
}
