//! Any text as a recipe; shapes of what is accepted are inferred without a panic.
#![no_main]

use std::path::Path;

use trainer::layers::Shape;
use trainer::network::Network;
use trainer::recipe::RecipeFile;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(file) = RecipeFile::parse(text.to_owned(), Path::new("fuzz")) {
        let input = Shape::Image { channels: 1, height: 28, width: 28 };
        if let Ok(network) = Network::build(&file.recipe.network, input, 10) {
            let _ = (network.parameter_count(), network.macs(), trainer::table::table(&network));
        }
    }
});
