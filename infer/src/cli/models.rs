//! What is in a zoo: `infer list`, `show`, `verify`, `bench`, `index`, `alias`.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use infer::{Error, Predictor, Report, Result, speed, verify_all};
use serde_json::{Value, json};
use zoo::{Spec, Zoo};

use super::{ZooArgs, print_json, read_public_key, report};
use crate::render;

pub(super) fn list(args: &ZooArgs) -> Result<ExitCode> {
    let zoo = Zoo::open(args.path())?;
    let header = ["model", "version", "dataset", "test accuracy", "parameters", "MACs"];
    let mut rows = vec![header.map(String::from).to_vec()];
    let mut entries = Vec::new();
    let mut code = ExitCode::SUCCESS;
    for (name, versions) in zoo.models()? {
        for version in versions {
            let opened = match zoo.version(&Spec::version(&name, version)) {
                Ok(opened) => opened.manifest,
                Err(error) => {
                    report(&error.into());
                    code = ExitCode::from(2);
                    continue;
                }
            };
            rows.push(vec![
                name.clone(),
                version.to_string(),
                opened.dataset.name.clone(),
                format!("{:.2} % ({})", 100.0 * opened.test.correct.share(), opened.test.correct),
                opened.network.parameters.to_string(),
                opened.network.macs.to_string(),
            ]);
            entries.push(json!({
                "model": name,
                "version": version,
                "dataset": opened.dataset.name,
                "test_correct": opened.test.correct,
                "parameters": opened.network.parameters,
                "macs": opened.network.macs,
            }));
        }
    }
    if args.json {
        print_json(&Value::Array(entries));
    } else {
        print!("{}", render::columns(&rows));
    }
    Ok(code)
}

pub(super) fn show(model: &str, args: &ZooArgs) -> Result<ExitCode> {
    let spec: Spec = model.parse().map_err(Error::Usage)?;
    let version = Zoo::open(args.path())?.version(&spec)?;
    if args.json {
        let value = serde_json::to_value(&version.manifest).map_err(|e| Error::Usage(e.to_string()))?;
        print_json(&value);
    } else {
        let card = version.read("README.md")?;
        println!("{}", String::from_utf8_lossy(&card).trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn verify_models(
    models: &[String],
    key: Option<&Path>,
    datasets: &Path,
    args: &ZooArgs,
) -> Result<ExitCode> {
    let zoo = Zoo::open(args.path())?;
    let key = key.map(read_public_key).transpose()?;
    let specs: Vec<Spec> = if models.is_empty() {
        let all = zoo.models()?.into_iter();
        all.flat_map(|(name, versions)| {
            versions.into_iter().map(move |version| Spec::version(&name, version))
        })
        .collect()
    } else {
        models.iter().map(|model| model.parse().map_err(Error::Usage)).collect::<Result<_>>()?
    };
    if specs.is_empty() {
        return Err(Error::Usage(format!(
            "{}: the zoo is empty; expected models to verify",
            args.path().display()
        )));
    }
    let reports = verify_all(&zoo, &specs, datasets, key.as_ref())?;
    if args.json {
        print_json(&json!(reports));
    } else {
        print!("{}", render::reports(&reports));
    }
    Ok(if reports.iter().all(Report::ok) { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

pub(super) fn bench(
    models: &[String],
    batches: &[usize],
    threads: &[usize],
    seconds: f64,
    args: &ZooArgs,
) -> Result<ExitCode> {
    let duration = Duration::try_from_secs_f64(seconds)
        .map_err(|problem| Error::Usage(format!("--seconds {seconds}: {problem}")))?;
    let mut results = Vec::new();
    for model in models {
        let predictor = Predictor::open(args.path(), model)?;
        let manifest = predictor.manifest();
        let name = format!("{}@{}", manifest.name, manifest.version);
        for &threads in threads {
            for &batch in batches {
                results.push((name.clone(), speed(predictor.session(), batch, threads, duration)?));
            }
        }
    }
    if args.json {
        let results = results.iter().map(|(model, speed)| json!({ "model": model, "speed": speed }));
        print_json(&results.collect());
    } else {
        print!("{}", render::speeds(&results));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn lint(args: &ZooArgs) -> Result<ExitCode> {
    let violations = Zoo::open(args.path())?.layout_violations()?;
    if args.json {
        print_json(&json!(violations));
    } else {
        for violation in &violations {
            println!("{violation}");
        }
        eprintln!("{} violations", violations.len());
    }
    Ok(if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

pub(super) fn index(check: bool, args: &ZooArgs) -> Result<ExitCode> {
    let zoo = Zoo::open(args.path())?;
    let index = zoo.index()?;
    let text = index.to_json()?;
    let path = zoo.root().join(zoo::INDEX);
    if check && std::fs::read_to_string(&path).ok().as_ref() != Some(&text) {
        eprintln!("error: {}: is not what the manifests say", path.display());
        eprintln!("hint: `infer index` writes it anew");
        return Ok(ExitCode::from(1));
    }
    if !check {
        zoo.write_index()?;
    }
    print!("{}", if args.json { text } else { index.to_markdown() });
    Ok(ExitCode::SUCCESS)
}

pub(super) fn set_or_list_alias(model: &str, alias: Option<&str>, args: &ZooArgs) -> Result<ExitCode> {
    let spec: Spec = model.parse().map_err(Error::Usage)?;
    let zoo = Zoo::open(args.path())?;
    let entries = match alias {
        Some(alias) => vec![zoo.set_alias(&spec, alias)?],
        None => zoo.alias_history()?.into_iter().filter(|entry| entry.model == spec.name).collect(),
    };
    if args.json {
        print_json(&json!(entries));
    } else {
        for entry in entries {
            println!("{}@{} -> {}@{}", entry.model, entry.alias, entry.model, entry.version);
        }
    }
    Ok(ExitCode::SUCCESS)
}
