//! What fuzzing has found, as it is and damaged further: an error or an answer, never a panic.
//! A short run of the targets in `fuzz/` on stable Rust; the recipe's is in `trainer/tests`.

use std::path::Path;

use datasets::{Idx, ImageShape, Preprocessing, Procedure};
use infer::Session;
use proptest::prelude::*;
use tests::corpus;

const SHAPE: ImageShape = ImageShape { channels: 1, height: 28, width: 28 };

/// One of the inputs with some bytes changed, and perhaps cut.
fn damaged(target: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let changes = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let cut = proptest::option::weighted(0.2, any::<prop::sample::Index>());
    (proptest::sample::select(corpus(target)), changes, cut).prop_map(|(mut bytes, changes, cut)| {
        if bytes.is_empty() {
            return bytes;
        }
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn idx(bytes in damaged("idx")) {
        if let Ok(idx) = Idx::parse(&bytes, Path::new("x")) {
            prop_assert_eq!(Idx::parse(&idx.to_bytes(), Path::new("again")).ok(), Some(idx));
        }
    }

    #[test]
    fn manifest(bytes in damaged("manifest")) {
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(manifest) = datasets::yaml::parse::<zoo::Manifest>(&text, Path::new("x")) {
            let _ = manifest.check(Path::new("x"));
        }
    }

    #[test]
    fn onnx(bytes in damaged("onnx")) {
        let _ = Session::load(bytes, SHAPE, 10, Path::new("x"));
    }

    #[test]
    fn image(bytes in damaged("preprocess")) {
        if let Ok(image) = infer::decode::decode(&bytes, Path::new("x")) {
            prop_assume!(image.width() * image.height() <= 1 << 20);
            for how in [Procedure::Mnist, Procedure::Fashion, Procedure::Resize] {
                prop_assert_eq!(infer::preprocess::preprocess(&image, &Preprocessing::Procedure(how), SHAPE).len(), SHAPE.numel());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// By the reader of all operators, which `zoo adopt` has in a process with limits and a server in its own.
    #[test]
    fn adopted(bytes in damaged("adopted")) {
        let _ = Session::load_adopted(bytes, SHAPE, 10, Path::new("x"));
    }
}
