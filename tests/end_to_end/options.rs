//! `docs/reference/options.md` is what `--help` says of every command.

use std::fmt::Write;

use tests::{root, succeed};

const HEAD: &str = "# Options\n\nWhat `--help` says of every command. `tests/end_to_end/options.rs` writes this page \
    (`UPDATE_OPTIONS=1`) and holds it.\n";

#[test]
fn the_page_of_options_is_up_to_date() {
    let mut page = HEAD.to_owned();
    for program in ["infer", "zoo", "trainer"] {
        describe(program, &[], &mut page);
    }
    let path = root().join("docs/reference/options.md");
    if std::env::var_os("UPDATE_OPTIONS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap();
    assert!(found == page, "{} is not what `--help` says; UPDATE_OPTIONS=1 writes it", path.display());
}

/// Appends a command's help, then that of its own commands.
fn describe(program: &str, command: &[&str], page: &mut String) {
    let help = succeed(program, &root(), [command, &["--help"]].concat());
    let name = [&[program], command].concat().join(" ");
    writeln!(page, "\n## {name}\n\n```\n{}\n```", help.trim_end()).unwrap();
    let Some((_, list)) = help.split_once("\nCommands:\n") else { return };
    for line in list.lines().take_while(|line| !line.is_empty()) {
        // Lines further in go on with a description.
        let inner = line.strip_prefix("  ").and_then(|line| line.split(' ').next());
        if let Some(inner) = inner.filter(|inner| !["", "help"].contains(inner)) {
            describe(program, &[command, &[inner]].concat(), page);
        }
    }
}
