//! Texts in Markdown: cards and reports hold names and words that other people chose.

use crate::Description;

/// A text within a line or a table's cell: nothing in it ends the cell, or is a link with a text of its own, an image or HTML.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '|' | '\\' | '`' | '*' | '[' | ']' => out.extend(['\\', character]),
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// What a dataset is, where it is from and what may be done with it, in a line.
pub fn origin(data: &Description) -> String {
    format!("{}, {}. Licence: {}.", escaped(&data.title), escaped(&data.source), escaped(&data.licence))
}

/// A text as code, for use within a line. Code has no escapes, so what would end it becomes another character.
pub fn code(text: &str) -> String {
    let plain = |c: char| {
        if c == '`' {
            '\''
        } else if c.is_control() {
            ' '
        } else {
            c
        }
    };
    format!("`{}`", text.chars().map(plain).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_break_a_table_or_be_a_link() {
        for (text, expected) in [
            ("a|b <i> `c`\n\\d", "a\\|b &lt;i> \\`c\\` \\\\d"),
            ("kernel_size 3 (base)", "kernel_size 3 (base)"),
            ("![x](http://a.example/b)", "!\\[x\\](http://a.example/b)"),
            ("&lt;b> *c*", "&amp;lt;b> \\*c\\*"),
        ] {
            assert_eq!(escaped(text), expected);
        }
        assert_eq!(code("a`b\nc|d"), "`a'b c|d`");
    }
}
