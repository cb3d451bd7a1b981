//! What fuzzing of recipes has found, as it is and damaged further: an error or a network, never a panic.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use proptest::prelude::*;
use trainer::layers::Shape;
use trainer::network::Network;
use trainer::recipe::RecipeFile;
use trainer::table::table;

fn corpus() -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/recipe");
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| std::fs::read(path).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn recipe(
        bytes in proptest::sample::select(corpus()),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = bytes;
        for (place, value) in changes {
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = value;
            }
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Ok(file) = RecipeFile::parse(text, Path::new("x")) {
            let input = Shape::Image { channels: 1, height: 28, width: 28 };
            if let Ok(network) = Network::build(&file.recipe.network, input, 10) {
                let _ = (network.parameter_count(), network.macs(), table(&network));
            }
        }
    }
}
