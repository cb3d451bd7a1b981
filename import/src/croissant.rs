//! Metadata of a dataset for search engines and loaders: Croissant 1.0 (MLCommons, docs.mlcommons.org/croissant).
//!
//! The records are those of `images.csv`; the pixels are in IDX files, for which Croissant has no word, so they are listed as files
//! with their sha256.

use std::path::Path;

use datasets::{Description, FileEntry};
use serde_json::{Value, json};

use crate::error::{Error, Result};

/// The file's name.
pub(crate) const FILE: &str = "croissant.json";

/// The metadata of the dataset in `dir`; `images` is its table of images.
///
/// # Errors
/// If a file is not there.
pub(crate) fn croissant(dir: &Path, description: &Description, images: &FileEntry) -> Result<String> {
    let Description { train, test, .. } = description;
    let files = [
        (&train.images, "application/octet-stream"),
        (&train.labels, "application/octet-stream"),
        (&test.images, "application/octet-stream"),
        (&test.labels, "application/octet-stream"),
        (images, "text/csv"),
    ];
    let distribution =
        files.iter().map(|(file, format)| file_object(dir, file, format)).collect::<Result<Vec<_>>>()?;
    let fields = [
        ("split", "sc:Text", "train, validation or test."),
        (
            "index",
            "sc:Integer",
            "Place in the IDX files of the split, from 0; validation images are the last of train's.",
        ),
        ("class", "sc:Text", "Name of the class."),
        ("sha256", "sc:Text", "sha256 of the image's pixels."),
        ("origin", "sc:Text", "Where the image is from."),
    ];
    let field = |(name, kind, what): (&str, &str, &str)| {
        json!({
            "@type": "cr:Field",
            "@id": format!("images/{name}"),
            "name": name,
            "description": what,
            "dataType": kind,
            "source": {"fileObject": {"@id": images.file}, "extract": {"column": name}},
        })
    };
    let address = |text: &str| text.starts_with("http://") || text.starts_with("https://");
    let mut metadata = json!({
        "@context": context(),
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": description.name,
        "description": description.title,
        "license": description.licence,
        "version": "1.0.0",
        "distribution": distribution,
        "recordSet": [{
            "@type": "cr:RecordSet",
            "@id": "images",
            "name": "images",
            "description": "Every image, with its class and where it is from.",
            "field": fields.map(field),
        }],
    });
    if address(&description.source) {
        metadata["url"] = json!(description.source);
    }
    serde_json::to_string_pretty(&metadata)
        .map(|text| text + "\n")
        .map_err(|error| Error::new(dir, error.to_string()))
}

fn file_object(dir: &Path, entry: &FileEntry, format: &str) -> Result<Value> {
    let path = dir.join(&entry.file);
    let length = std::fs::metadata(&path).map_err(Error::io(&path))?.len();
    Ok(json!({
        "@type": "cr:FileObject",
        "@id": entry.file,
        "name": entry.file,
        "contentUrl": entry.file,
        "contentSize": format!("{length} B"),
        "encodingFormat": format,
        "sha256": entry.sha256.to_string(),
    }))
}

/// The terms of Croissant 1.0, as its specification lists them.
fn context() -> Value {
    json!({
        "@language": "en",
        "@vocab": "https://schema.org/",
        "citeAs": "cr:citeAs",
        "column": "cr:column",
        "conformsTo": "dct:conformsTo",
        "cr": "http://mlcommons.org/croissant/",
        "data": {"@id": "cr:data", "@type": "@json"},
        "dataBiases": "cr:dataBiases",
        "dataCollection": "cr:dataCollection",
        "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
        "dct": "http://purl.org/dc/terms/",
        "equivalentProperty": "cr:equivalentProperty",
        "examples": {"@id": "cr:examples", "@type": "@json"},
        "extract": "cr:extract",
        "field": "cr:field",
        "fileObject": "cr:fileObject",
        "fileProperty": "cr:fileProperty",
        "fileSet": "cr:fileSet",
        "format": "cr:format",
        "includes": "cr:includes",
        "isLiveDataset": "cr:isLiveDataset",
        "jsonPath": "cr:jsonPath",
        "key": "cr:key",
        "md5": "cr:md5",
        "parentField": "cr:parentField",
        "path": "cr:path",
        "personalSensitiveInformation": "cr:personalSensitiveInformation",
        "rai": "http://mlcommons.org/croissant/RAI/",
        "recordSet": "cr:recordSet",
        "references": "cr:references",
        "regex": "cr:regex",
        "repeated": "cr:repeated",
        "replace": "cr:replace",
        "samplingRate": "cr:samplingRate",
        "sc": "https://schema.org/",
        "separator": "cr:separator",
        "source": "cr:source",
        "subField": "cr:subField",
        "transform": "cr:transform",
    })
}
