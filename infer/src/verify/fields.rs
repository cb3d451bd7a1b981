//! How each field of a manifest is held to the truth.

use serde::Serialize;

/// What keeps a field from being changed unseen. All are covered by the manifest's sha256 in `index.json`, and by the
/// signature if there is one; this is what holds beyond that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// It is computed anew from other files, and must be the same.
    Recomputed,
    /// It may be what it likes within bounds.
    Bounded,
    /// Nothing else says it: the manifest's sha256 alone covers it.
    Covered,
}

/// Every field of a manifest (`*` for any key or place in a list), its proof, and by what.
pub const FIELDS: &[(&str, Proof, &str)] = &[
    ("schema", Proof::Bounded, "the one that the program knows"),
    ("name", Proof::Recomputed, "the folder, the recipe, the network"),
    ("version", Proof::Recomputed, "the folder, the network"),
    ("description", Proof::Recomputed, "the recipe, the network"),
    ("labels.*", Proof::Recomputed, "the dataset's classes, the network"),
    ("input.name", Proof::Recomputed, "the network"),
    ("input.dtype", Proof::Recomputed, "the network"),
    ("input.shape.*", Proof::Recomputed, "the network"),
    ("output.name", Proof::Recomputed, "the network"),
    ("output.dtype", Proof::Recomputed, "the network"),
    ("output.shape.*", Proof::Recomputed, "the network"),
    ("preprocessing", Proof::Covered, "test images go through unchanged, so no result shows it"),
    ("preprocessing.*", Proof::Covered, "test images go through unchanged, so no result shows it"),
    ("dataset.name", Proof::Recomputed, "the recipe, the dataset"),
    (
        "dataset.files.*",
        Proof::Recomputed,
        "the dataset's description, the test files; those of training by `trainer`",
    ),
    ("test.correct", Proof::Recomputed, "the test split, classified"),
    ("test.per_class.*.label", Proof::Recomputed, "the labels"),
    ("test.per_class.*.correct", Proof::Recomputed, "the test split, classified"),
    ("test.predictions_sha256", Proof::Recomputed, "the test split, classified"),
    ("validation", Proof::Recomputed, "the history, the recipe"),
    ("confidence.images", Proof::Recomputed, "the validation images"),
    ("confidence.temperature", Proof::Recomputed, "the network"),
    ("confidence.calibration_error", Proof::Recomputed, "the test split, to 0.0001"),
    ("confidence.bins.*.correct", Proof::Recomputed, "the test split"),
    ("confidence.bins.*.confidence", Proof::Recomputed, "the test split, to 0.0001"),
    ("confidence.coverage.*.promised", Proof::Covered, "a promise"),
    (
        "confidence.coverage.*.threshold",
        Proof::Covered,
        "its effect on the test split is counted, not itself",
    ),
    ("confidence.coverage.*.covered", Proof::Recomputed, "the test split, but for images at the threshold"),
    ("confidence.coverage.*.single", Proof::Recomputed, "the test split, but for images at the threshold"),
    ("confidence.unlike.threshold", Proof::Covered, "its effect on the test split is counted, not itself"),
    ("confidence.unlike.accepted", Proof::Recomputed, "the test split"),
    ("corruptions.*", Proof::Covered, "recomputed with --corruptions"),
    ("network.parameters", Proof::Recomputed, "the weights"),
    ("network.macs", Proof::Recomputed, "the network"),
    ("onnx.opset", Proof::Recomputed, "the network"),
    ("onnx.ir_version", Proof::Recomputed, "the network"),
    ("onnx.annotated", Proof::Recomputed, "the network: shapes of the values between its nodes"),
    ("training.recipe_sha256", Proof::Recomputed, "the recipe"),
    ("training.seed", Proof::Recomputed, "the recipe"),
    ("training.epochs", Proof::Recomputed, "the history"),
    ("training.selected_epoch", Proof::Recomputed, "the history: the epoch of the weights' sha256"),
    ("training.parameters_sha256", Proof::Recomputed, "the weights"),
    ("training.epochs_sha256.*", Proof::Recomputed, "the history"),
    ("training.numeric_profile.threads", Proof::Recomputed, "the recipe, if it says"),
    ("training.numeric_profile.isa", Proof::Recomputed, "the recipe, if it says"),
    ("training.numeric_profile.in_force", Proof::Covered, "`trainer reproduce` shows it"),
    ("training.fingerprint", Proof::Covered, "`trainer reproduce` recomputes it"),
    ("training.cpu", Proof::Covered, "a claim"),
    ("training.chosen_by.*.seed", Proof::Covered, "retraining shows it: the recipe with this seed and split"),
    ("training.chosen_by.*.validation", Proof::Covered, "likewise"),
    ("training.chosen_by.*.parameters_sha256", Proof::Covered, "likewise"),
    ("origin.weights.file", Proof::Covered, "a claim"),
    ("origin.weights.sha256", Proof::Covered, "of a file that is not here"),
    ("origin.weights.recipe_sha256", Proof::Recomputed, "the recipe"),
    ("origin.weights.parameters_sha256", Proof::Recomputed, "the weights"),
    ("origin.adopted.*", Proof::Covered, "of a file that is not here"),
    ("self_check.golden_images", Proof::Recomputed, "the golden data"),
    ("self_check.tolerance", Proof::Bounded, "0 to 0.001"),
    ("self_check.identical_predictions", Proof::Bounded, "all test images"),
    ("tools.trainer", Proof::Recomputed, "the network, if trainer wrote it"),
    ("tools.*", Proof::Covered, "a claim"),
    ("files.*.bytes", Proof::Recomputed, "the file"),
    ("files.*.sha256", Proof::Recomputed, "the file"),
];
