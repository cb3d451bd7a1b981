//! The report as one self-contained page with contact sheets: no script, nothing to fetch.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::error::Result;
use crate::item::Part;
use crate::pipeline::{Collected, Record};
use crate::report::{Imported, LeftOut};
use crate::sheet::{of_tiles, tile};

/// Style of pages with contact sheets.
pub const STYLE: &str = include_str!("page.css");
/// Images of a class in its sheet, and of all classes together.
const SHOWN: usize = 24;
const SHOWN_OF_ALL: usize = 1200;
/// Pairs of near images, and entries of a list.
const MOST: usize = 60;

/// The page: `near` are the pairs of the report, as records.
///
/// # Errors
/// If pixels cannot be read.
pub(crate) fn page(imported: &Imported, collected: &Collected, near: &[[usize; 2]]) -> Result<String> {
    let name = imported.path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned());
    let [channels, height, width] = imported.image;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                link rel="icon" href="data:,";
                title { (name) ": what was imported" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { (name) }
                    p.soft { "Images of " (channels) " x " (height) " x " (width) ". " (imported.notes.join("; ")) }
                    @for warning in &imported.warnings { p { strong { "Look at this: " } (warning) } }
                    (classes(imported))
                    (sheets(imported, collected)?)
                    (pairs(imported, collected, near)?)
                    (left_out(imported))
                }
            }
        }
    };
    Ok(page.into_string() + "\n")
}

fn classes(imported: &Imported) -> Markup {
    html! {
        div.table {
            table {
                thead { tr { @for name in ["class", "training", "validation", "test"] { th scope="col" { (name) } } } }
                tbody {
                    @for class in &imported.classes {
                        tr {
                            td { (class.name) }
                            @for count in [class.train, class.validation, class.test] { td { (zoo::grouped(count as u64)) } }
                        }
                    }
                }
            }
        }
    }
}

/// Some training images of each class, evenly spread over the source.
fn sheets(imported: &Imported, collected: &Collected) -> Result<Markup> {
    let mut figures = Vec::new();
    for (label, class) in imported.classes.iter().enumerate() {
        let of_class = |record: &&Record| record.label as usize == label && record.part == Part::Train;
        let records: Vec<&Record> = collected.records.iter().filter(of_class).collect();
        let shown = (SHOWN_OF_ALL / imported.classes.len().max(1)).clamp(1, SHOWN);
        let step = records.len().div_ceil(shown).max(1);
        let shown: Vec<&Record> = records.into_iter().step_by(step).collect();
        figures.extend(figure(&shown, collected, 6, &class.name)?);
    }
    Ok(html! { section { h2 { "Training images" } div.sheets { @for figure in &figures { (figure) } } } })
}

fn pairs(imported: &Imported, collected: &Collected, near: &[[usize; 2]]) -> Result<Markup> {
    let mut figures = Vec::new();
    for (pair, places) in imported.near.iter().zip(near).take(MOST) {
        let records = places.map(|place| &collected.records[place]);
        let name = |record: &Record| imported.classes[record.label as usize].name.as_str();
        let mut caption = format!("{} and {}", pair.one, pair.other);
        if pair.across_splits {
            caption += ": one is trained on, the other not";
        }
        if pair.different_labels {
            caption += &format!(": {} and {}", name(records[0]), name(records[1]));
        }
        figures.extend(figure(&records, collected, 2, &caption)?);
    }
    Ok(html! {
        @if !figures.is_empty() {
            section {
                h2 { "Nearly equal images" }
                p.soft { (figures.len()) " of " (imported.near.len()) " pairs." }
                div.pairs { @for figure in &figures { (figure) } }
            }
        }
    })
}

fn figure(records: &[&Record], collected: &Collected, columns: u32, caption: &str) -> Result<Option<Markup>> {
    let mut tiles = Vec::new();
    for record in records {
        tiles.extend(tile(&collected.spool.read(record.stored)?, collected.shape));
    }
    Ok(of_tiles(&tiles, columns).map(|address| {
        html! { figure { img src=(address) alt=(caption); figcaption { (caption) } } }
    }))
}

fn left_out(imported: &Imported) -> Markup {
    let named = |list: &[LeftOut]| list.iter().map(|out| format!("{}: {}", out.name, out.why)).collect();
    let lists: [(&str, Vec<String>); 5] = [
        ("Equal images under two labels, all left out", imported.contradictions.clone()),
        ("Unreadable", named(&imported.unreadable)),
        ("Left out", named(&imported.left_out)),
        ("Of one colour", imported.constant.clone()),
        ("Of quite another size than most", imported.size_outliers.clone()),
    ];
    let counts = [
        (imported.duplicates, "images that are there twice, one kept"),
        (
            imported.leaked,
            "images to train or validate with, left out because they are tested or validated on",
        ),
        (imported.relabelled, "images got another class"),
        (imported.litter, "files or folders that file managers leave, not looked at"),
    ];
    html! {
        section {
            h2 { "What was left out, and what stands out" }
            @if counts.iter().all(|(count, _)| *count == 0) && lists.iter().all(|(_, list)| list.is_empty()) {
                p { "Nothing." }
            }
            ul { @for (count, what) in counts.iter().filter(|(count, _)| *count > 0) { li { (count) " " (what) } } }
            @for (what, list) in lists.iter().filter(|(_, list)| !list.is_empty()) {
                h3 { (what) ": " (list.len()) }
                ul {
                    @for entry in list.iter().take(MOST) { li { (entry) } }
                    @if list.len() > MOST { li { "and " (list.len() - MOST) " more, in report.json" } }
                }
            }
        }
    }
}
