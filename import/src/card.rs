//! The card of a dataset: what a person should know before using it, as Markdown.

use datasets::Description;
use datasets::markdown::escaped;

use crate::report::Imported;

/// The file's name.
pub(crate) const FILE: &str = "README.md";

/// The card. What nobody said is asked for in its place.
pub(crate) fn card(description: &Description, imported: &Imported) -> String {
    let unknown =
        |text: &str, ask: &str| if text == "unknown" { format!("unknown: {ask}") } else { text.to_owned() };
    let [channels, height, width] = imported.image;
    let mut card = format!("# {}\n\n", escaped(&description.title));
    let total = |count: fn(&crate::ClassInfo) -> usize| imported.classes.iter().map(count).sum::<usize>();
    card += &format!(
        "{} classes of {channels} x {height} x {width} images: {} to train on, {} to validate, {} to test.\n\n",
        imported.classes.len(),
        zoo::grouped(total(|c| c.train) as u64),
        zoo::grouped(total(|c| c.validation) as u64),
        zoo::grouped(total(|c| c.test) as u64),
    );
    let licence = unknown(&description.licence, "may others use it? `--licence` says so");
    let origin = unknown(&description.source, "who took the images, where and when? `--origin` says so");
    card += &format!("- Licence: {}\n- Origin: {}\n\n", escaped(&licence), escaped(&origin));
    card += "| class | training | validation | test |\n| --- | ---: | ---: | ---: |\n";
    for class in &imported.classes {
        card += &format!(
            "| {} | {} | {} | {} |\n",
            escaped(&class.name),
            class.train,
            class.validation,
            class.test
        );
    }
    card += "\n## What was done\n\n";
    for note in &imported.notes {
        card += &format!("- {}\n", escaped(note));
    }
    for (count, what) in [
        (imported.duplicates, "images that were there twice are in it once"),
        (
            imported.leaked,
            "images to train or validate with were left out because they are tested or validated on",
        ),
        (
            imported.contradictions.len(),
            "images that were there under two labels were left out, every copy of them",
        ),
        (imported.unreadable.len(), "unreadable files were left out"),
        (imported.left_out.len(), "other files were left out"),
        (imported.relabelled, "images got another class"),
        (imported.near.len(), "pairs of nearly equal images were found and kept"),
    ] {
        if count > 0 {
            card += &format!("- {count} {what}\n");
        }
    }
    if !imported.warnings.is_empty() {
        card += "\n## What to look at\n\n";
        imported.warnings.iter().for_each(|warning| card += &format!("- {}\n", escaped(warning)));
    }
    card += "\nEvery file's sha256 is in `dataset.yaml` and `croissant.json`, every image's in `images.csv`; `report.html` shows some of \
             them.\n";
    card
}
