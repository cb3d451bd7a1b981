//! Commands that another program has now say which.

use tests::{assert_refused, root, run};

#[test]
fn old_commands_name_the_new_ones() {
    for command in ["serve", "push", "pull", "export", "lint", "index", "alias"] {
        let outcome = run("infer", &root(), [command, "--zoo", "elsewhere", "-x", "7"]);
        assert_refused(command, &outcome, &[&format!("`infer {command}` is now `zoo {command}`")]);
    }
    // Only where it is the command: elsewhere the word is an ordinary argument.
    let outcome = run("infer", &root(), ["show", "serve"]);
    assert_refused("a model of that name", &outcome, &["models here"]);
}

#[cfg(feature = "trainer")]
#[test]
fn signing_is_the_zoos() {
    let outcome = run("trainer", &root(), ["sign", "mnist-cnn", "--key", "key.pem"]);
    assert_refused("sign", &outcome, &["`trainer sign` is now `zoo sign`"]);
}
