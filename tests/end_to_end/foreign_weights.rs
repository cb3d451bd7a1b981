//! Weights from elsewhere: `trainer publish --weights`, and out again by `zoo export torch`.

use std::collections::HashMap;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use tests::{assert_refused, run, succeed, tiny_dataset};

const RECIPE: &str = include_str!("../data/tiny.yaml");

/// A folder with a tiny dataset, its recipe, a published model, and that model's weights as `weights.safetensors`.
fn workspace() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    tiny_dataset(dir.path(), 600, 200).unwrap();
    // Views of the image are parts of the module as well.
    let recipe =
        RECIPE.replace("select: best_validation", "select: best_validation, average: [mirrored, up, right]");
    std::fs::write(dir.path().join("recipe.yaml"), recipe).unwrap();
    succeed("trainer", dir.path(), ["publish", "recipe.yaml"]);
    let weights = dir.path().join("zoo/models/tiny/1/model.safetensors");
    std::fs::copy(weights, dir.path().join("weights.safetensors")).unwrap();
    dir
}

/// Name, type, shape and bytes.
type Stored = (String, Dtype, Vec<usize>, Vec<u8>);
type Tensors = Vec<Stored>;

fn tensors(dir: &Path) -> Tensors {
    let bytes = std::fs::read(dir.join("weights.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    let mut tensors: Tensors = tensors
        .into_iter()
        .map(|(name, view)| (name, view.dtype(), view.shape().to_vec(), view.data().to_vec()))
        .collect();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    tensors
}

fn write(path: &Path, tensors: &Tensors) {
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        (name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    std::fs::write(path, safetensors::serialize(views, None::<HashMap<String, String>>).unwrap()).unwrap();
}

const PUBLISH: [&str; 4] = ["publish", "recipe.yaml", "--weights", "weights.safetensors"];

#[test]
fn weights_from_elsewhere_are_published_verified_and_exported() {
    let dir = workspace();
    let dir = dir.path();
    succeed("trainer", dir, PUBLISH);
    let read = |version: u32| -> zoo::Manifest {
        datasets::yaml::read(&dir.join(format!("zoo/models/tiny/{version}/manifest.yaml"))).unwrap()
    };
    let (trained, foreign) = (read(1), read(2));
    assert_eq!(foreign.parameters_sha256(), trained.parameters_sha256());
    assert_eq!(foreign.test, trained.test);
    assert!(foreign.training.is_none() && foreign.validation.is_none());
    let Some(zoo::Origin::Weights(origin)) = &foreign.origin else { panic!("{:?}", foreign.origin) };
    assert_eq!(origin.file, "weights.safetensors");
    let card = std::fs::read_to_string(dir.join("zoo/models/tiny/2/README.md")).unwrap();
    assert!(card.contains("Not trained here") && !card.contains("trainer reproduce"), "{card}");
    let verified = succeed("infer", dir, ["verify", "tiny@2"]);
    assert!(verified.contains("weights") && !verified.contains("history"), "{verified}");
    let again = run("trainer", dir, ["reproduce", "tiny@2"]);
    assert_refused("nothing to retrain", &again, &["was not trained here"]);

    // The recipe's weights are what the manifest says: others do not pass.
    let path = dir.join("zoo/models/tiny/2/manifest.yaml");
    let mut forged = foreign.clone();
    forged.origin = Some(zoo::Origin::Weights(zoo::ForeignWeights {
        parameters_sha256: datasets::Digest::of(b"other"),
        ..origin.clone()
    }));
    let text = std::fs::read(&path).unwrap();
    std::fs::write(&path, datasets::yaml::to_string(&forged).unwrap()).unwrap();
    assert_eq!(run("infer", dir, ["verify", "tiny@2"]).code, Some(1));
    std::fs::write(&path, text).unwrap();

    // Whatever dataset has that name now.
    std::fs::rename(dir.join("datasets"), dir.join("moved")).unwrap();
    succeed("zoo", dir, ["export", "torch", "out", "tiny@2"]);
    std::fs::rename(dir.join("moved"), dir.join("datasets")).unwrap();
    let exported = std::fs::read(dir.join("out/tiny/model.safetensors")).unwrap();
    assert_eq!(exported, std::fs::read(dir.join("zoo/models/tiny/2/model.safetensors")).unwrap());
    insta::assert_snapshot!(std::fs::read_to_string(dir.join("out/tiny/model.py")).unwrap());
    let bill = succeed("zoo", dir, ["export", "bom", "out", "tiny@2"]);
    let bill = std::fs::read_to_string(dir.join(bill.trim())).unwrap();
    assert!(bill.contains("model-zoo:original_sha256"), "{bill}");
}

#[test]
fn other_names_are_mapped_and_halves_are_widened() {
    let dir = workspace();
    let dir = dir.path();
    let mut renamed = tensors(dir);
    let mut names = String::new();
    for (name, ..) in &mut renamed {
        names += &format!("{name}: net.{name}\n");
        *name = format!("net.{name}");
    }
    // PyTorch counts batches beside the statistics.
    renamed.push(("net.batch_norm1.num_batches_tracked".into(), Dtype::I64, vec![], vec![0; 8]));
    // Exact in sixteen bits: ones, which is what layers start from.
    let one = |dtype: Dtype| match dtype {
        Dtype::BF16 => vec![0x80, 0x3f],
        _ => vec![0x00, 0x3c],
    };
    for (index, (_, dtype, shape, bytes)) in renamed.iter_mut().take(2).enumerate() {
        *dtype = if index == 0 { Dtype::F16 } else { Dtype::BF16 };
        *bytes = one(*dtype).repeat(shape.iter().product());
    }
    write(&dir.join("weights.safetensors"), &renamed);
    std::fs::write(dir.join("names.yaml"), names).unwrap();
    let outcome = run("trainer", dir, PUBLISH);
    assert_refused("other names", &outcome, &["conv1.weight: missing", "net.conv1.weight: unexpected"]);
    succeed("trainer", dir, [&PUBLISH[..], &["--names", "names.yaml"]].concat());
    succeed("infer", dir, ["verify", "tiny@2"]);
}

#[test]
fn weights_that_do_not_fit_are_refused_by_name() {
    let dir = workspace();
    let dir = dir.path();
    let good = tensors(dir);
    let path = dir.join("weights.safetensors");
    let at = |name: &str| good.iter().position(|(other, ..)| other == name).unwrap();
    let (weight, bias) = (at("conv1.weight"), at("dense1.bias"));
    let changed = |index: usize, change: &dyn Fn(&mut Stored)| {
        let mut tensors = good.clone();
        change(&mut tensors[index]);
        tensors
    };
    for (row, tensors, expected) in [
        (
            "another shape",
            changed(weight, &|t| t.2 = vec![1, 8, 3, 3]),
            "conv1.weight: [1, 8, 3, 3], expected [8, 1, 3, 3]",
        ),
        (
            "doubles",
            changed(bias, &|t| (t.1, t.3) = (Dtype::F64, vec![0; 80])),
            "dense1.bias: F64, expected F32",
        ),
        (
            "not a number",
            changed(bias, &|t| t.3[..4].copy_from_slice(&f32::NAN.to_le_bytes())),
            "not a finite number",
        ),
        (
            "a tensor more",
            [good.clone(), vec![("head.weight".into(), Dtype::F32, vec![1], vec![0; 4])]].concat(),
            "head.weight: unexpected",
        ),
        ("a tensor less", good[1..].to_vec(), "missing"),
    ] {
        write(&path, &tensors);
        assert_refused(row, &run("trainer", dir, PUBLISH), &[expected]);
    }
    for (row, bytes, expected) in [
        ("a pickle in a zip", b"PK\x03\x04 archive/data.pkl".to_vec(), "weights_only=True"),
        ("a bare pickle", b"\x80\x02}q\x00.".to_vec(), "weights_only=True"),
        ("nothing", Vec::new(), "weights.safetensors"),
        ("a length beyond the file", vec![0xff; 64], "weights.safetensors"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        assert_refused(row, &run("trainer", dir, PUBLISH), &[expected]);
    }
    let names = dir.join("names.yaml");
    std::fs::write(&names, "conv9.weight: x\n").unwrap();
    write(&path, &good);
    let outcome = run("trainer", dir, [&PUBLISH[..], &["--names", "names.yaml"]].concat());
    assert_refused("a name that is none", &outcome, &["\"conv9.weight\" is no tensor"]);
    let versions = std::fs::read_dir(dir.join("zoo/models/tiny")).unwrap().count();
    assert_eq!(versions, 1, "nothing was published");
}
