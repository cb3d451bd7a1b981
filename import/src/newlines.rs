//! Ends of lines as every system writes them, and the numbers of lines.

use std::io::Read;

/// Text in which every line ends with one `\n`: also those that end with `\r\n` or `\r`, and the last one.
pub(crate) struct Newlines<R> {
    inner: R,
    /// The last byte that was read; at first as if a line had ended.
    last: u8,
}

impl<R: Read> Newlines<R> {
    pub(crate) fn new(inner: R) -> Newlines<R> {
        Newlines { inner, last: b'\n' }
    }

    /// Brings bytes into form where they are; returns how many are left.
    fn convert(&mut self, bytes: &mut [u8]) -> usize {
        let mut kept = 0;
        for at in 0..bytes.len() {
            let byte = bytes[at];
            let is_second = self.last == b'\r' && byte == b'\n';
            self.last = byte;
            if !is_second {
                bytes[kept] = if byte == b'\r' { b'\n' } else { byte };
                kept += 1;
            }
        }
        kept
    }
}

impl<R: Read> Read for Newlines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let count = self.inner.read(buffer)?;
            if count == 0 {
                let is_open = !matches!(self.last, b'\n' | b'\r');
                self.last = b'\n';
                buffer[0] = b'\n';
                return Ok(usize::from(is_open));
            }
            // 0 would say that the text ends.
            match self.convert(&mut buffer[..count]) {
                0 => {}
                kept => return Ok(kept),
            }
        }
    }
}

/// Number of the line, from 1, in which a row begins that was just read from [`Newlines`]. The library's own number is of
/// where the row before ended: it does not count empty lines in between.
pub(crate) fn line_of<R: Read>(reader: &csv::Reader<R>, row: &csv::StringRecord) -> u64 {
    let within: usize = row.iter().map(|field| field.matches('\n').count()).sum();
    reader.position().line().saturating_sub(1 + within as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<(u64, String)> {
        let reader = Newlines::new(text.as_bytes());
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(reader);
        let (mut found, mut row) = (Vec::new(), csv::StringRecord::new());
        while reader.read_record(&mut row).unwrap() {
            found.push((line_of(&reader, &row), row.iter().collect::<Vec<_>>().join("|")));
        }
        found
    }

    #[test]
    fn lines_have_the_numbers_that_editors_show() {
        let expected = |rows: &[(u64, &str)]| -> Vec<(u64, String)> {
            rows.iter().map(|(line, row)| (*line, (*row).to_owned())).collect()
        };
        for end in ["\n", "\r\n", "\r"] {
            let text = |text: &str| text.replace('\n', end);
            assert_eq!(
                lines(&text("a,b\n1,2\n3,4\n")),
                expected(&[(1, "a|b"), (2, "1|2"), (3, "3|4")]),
                "{end:?}"
            );
            assert_eq!(lines(&text("a,b\n1,2")), expected(&[(1, "a|b"), (2, "1|2")]), "{end:?}");
            assert_eq!(lines(&text("\n\na\n\nb\n\n")), expected(&[(3, "a"), (5, "b")]), "{end:?}");
            let quoted = "a,\"b\nc\"\nd,e\n";
            assert_eq!(lines(&text(quoted)), expected(&[(1, "a|b\nc"), (3, "d|e")]), "{end:?}");
        }
        assert_eq!(lines(""), expected(&[]));
    }

    /// Whatever the pieces in which the text comes.
    #[test]
    fn ends_are_found_across_reads() {
        struct Single<'a>(&'a [u8]);
        impl Read for Single<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                let length = buffer.len().min(1);
                self.0.read(&mut buffer[..length])
            }
        }
        let mut text = String::new();
        Newlines::new(Single(b"a\r\n\r\nb\r\rc\n")).read_to_string(&mut text).unwrap();
        assert_eq!(text, "a\n\nb\n\nc\n");
    }
}
