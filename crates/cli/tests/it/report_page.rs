//! The reports of a run, an evaluation and a cross-validation in a real browser, on a phone and on a desk: every section shows
//! something, nothing overflows, nothing is fetched, and the headline metrics equal those in `metrics.json`.
//!
//! Needs Chromium: `cargo test -p malaria-cli --test it report_page:: -- --ignored`. Screenshots are written to the folder in the
//! variable `SCREENSHOTS`, if it is set.

use std::{
    env, fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

use crate::support::{self, Workbench, succeed};

/// Runs in a page that holds the report in a frame: inspects the report and leaves its findings as the only text.
const PROBE: &str = r#"
const frame = document.querySelector("iframe");
frame.addEventListener("load", () => {
  const page = frame.contentDocument;
  const seen = {
    height: page.documentElement.scrollHeight,
    sticks_out: page.documentElement.scrollWidth - frame.contentWindow.innerWidth,
    sections: Object.fromEntries([...page.querySelectorAll("section")].map((section) => [section.id, {
      height: section.getBoundingClientRect().height,
      text: section.innerText.replace(section.querySelector("h2").innerText, "").trim().length,
      drawn: section.querySelectorAll("svg path, svg polyline, svg circle, svg rect").length,
    }])),
    metrics: Object.fromEntries([...page.querySelectorAll("[data-metric]")].map((tile) =>
      [tile.dataset.metric, [Number(tile.dataset.value), tile.querySelector(".value").innerText.replaceAll("\u00a0", " ")]])),
    broken_pictures: [...page.images].filter((image) => !image.complete || image.naturalWidth === 0).length,
    pictures: page.images.length,
    fetched: frame.contentWindow.performance.getEntriesByType("resource").map((entry) => entry.name)
      .filter((name) => !name.startsWith("data:")),
    dead_links: [...page.querySelectorAll("nav a")].filter((link) => !page.querySelector(link.getAttribute("href"))).length,
    ground: frame.contentWindow.getComputedStyle(page.body).backgroundColor,
    scripts: page.scripts.length,
  };
  document.body.textContent = JSON.stringify(seen);
});
"#;

/// Runs Chromium on a page that holds `report` in a frame `width` pixels wide, followed by `script`.
fn chromium(report: &Path, [width, height]: [u64; 2], script: &str, flags: &[&str]) -> Output {
    let holder = report.with_file_name(format!("holder-{width}.html"));
    let name = report.file_name().unwrap().to_str().unwrap();
    let style = "<style>body { margin: 0 } iframe { border: 0 }</style>";
    let frame = format!("<iframe src=\"{name}\" width={width} height={height}></iframe>");
    let text = format!("<!doctype html>{style}<body>{frame}<script>{script}</script>");
    fs::write(&holder, text).unwrap();
    let profile = tempfile::tempdir().unwrap();
    let mut chromium = Command::new("chromium");
    chromium.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]);
    chromium.args(["--enable-logging=stderr", "--virtual-time-budget=20000"]).args(flags);
    chromium.arg(format!("--user-data-dir={}", profile.path().display()));
    chromium.arg(format!("file://{}", holder.display())).output().expect("chromium is installed")
}

/// Findings of the probe for `report` in a frame `width` pixels wide.
fn look(report: &Path, width: u64, flags: &[&str]) -> Value {
    let output = chromium(report, [width, 900], PROBE, &[flags, &["--dump-dom"]].concat());
    let errors = support::errors(&output);
    assert!(!errors.contains("CONSOLE"), "the console says:\n{errors}");
    let dom = String::from_utf8_lossy(&output.stdout);
    let json = dom.find("<body>").zip(dom.find("</body>")).map(|(start, end)| &dom[start + 6..end]);
    serde_json::from_str(json.unwrap_or_default()).unwrap_or_else(|error| panic!("{error}: {dom}\n{errors}"))
}

/// Saves a picture of the whole report to the folder in the variable `SCREENSHOTS`, if it is set.
fn screenshot(report: &Path, [width, height]: [u64; 2], flags: &[&str]) {
    let Some(folder) = env::var_os("SCREENSHOTS") else { return };
    let run = report.parent().unwrap().file_name().unwrap().to_str().unwrap();
    let scheme = if flags.is_empty() { "light" } else { "dark" };
    let file = Path::new(&folder).join(format!("report-{run}-{width}-{scheme}.png"));
    let size = [format!("--window-size={width},{height}"), format!("--screenshot={}", file.display())];
    chromium(report, [width, height], "", &[flags, &size.each_ref().map(String::as_str)].concat());
    assert!(file.is_file(), "{}", file.display());
}

/// Checks `folder/report.html` at either width and in dark mode: `sections` show something, nothing is broken, and the tiles
/// repeat `metrics.json`.
#[track_caller]
fn assert_complete(folder: &Path, sections: &str, min_pictures: u64) {
    let report = fs::canonicalize(folder.join("report.html")).unwrap();
    let metrics: Value = serde_json::from_slice(&fs::read(folder.join("metrics.json")).unwrap()).unwrap();
    let dark = "--blink-settings=preferredColorScheme=0";
    let mut grounds = Vec::new();
    for (width, flags) in [(390, &[][..]), (1280, &[]), (1280, &[dark])] {
        let seen = look(&report, width, flags);
        assert!(seen["sticks_out"].as_i64().unwrap() <= 0, "at {width}: {seen}");
        for id in sections.split(' ') {
            let section = &seen["sections"][id];
            assert!(section["height"].as_f64().unwrap_or(0.0) > 60.0, "{id}: {seen}");
            assert!(
                section["text"].as_u64().unwrap_or(0) > 20 || section["drawn"].as_u64() > Some(5),
                "{id}: {seen}"
            );
        }
        for name in ["accuracy", "sensitivity", "specificity", "auc"] {
            let tile = &seen["metrics"][name];
            // Null where too few cells were tested.
            assert_eq!(tile[0].as_f64(), metrics[name].as_f64(), "{name}");
            let Some(value) = metrics[name].as_f64() else {
                assert_eq!(tile[1], "n/a", "{name}");
                continue;
            };
            let shown: f64 = tile[1].as_str().unwrap().trim_end_matches(" %").parse().unwrap();
            let scale = if name == "auc" { 1.0 } else { 100.0 };
            assert!((shown - scale * value).abs() < 0.0051, "{name}: {tile}");
        }
        assert_eq!(seen["broken_pictures"], 0);
        assert!(seen["pictures"].as_u64().unwrap() >= min_pictures, "{min_pictures}: {seen}");
        assert_eq!(
            (&seen["fetched"], &seen["dead_links"]),
            (&Value::from(Vec::<u8>::new()), &Value::from(0))
        );
        assert_eq!(seen["scripts"], 0);
        screenshot(&report, [width, seen["height"].as_u64().unwrap()], flags);
        grounds.push(seen["ground"].clone());
    }
    assert!(grounds[0] == grounds[1] && grounds[1] != grounds[2], "dark is not another colour: {grounds:?}");
}

/// The sections of every page. The curves are missing with fewer than ten cells of a class.
const SECTIONS: &str =
    "metrics confusion calibration patients mistakes other-metrics by-class predictive-values data made";

#[test]
#[ignore = "needs Chromium"]
fn the_reports_of_a_run_and_an_evaluation_are_whole_on_any_screen() {
    let bench = Workbench::new();
    // Too short to learn every cell, so there are mistakes to show.
    succeed(bench.train("run").args(["--epochs", "2", "--lr", "0.01"]));
    // The section on augmentation alone has 36 pictures.
    assert_complete(&bench.path("run"), &format!("{SECTIONS} history augmentation"), 37);

    fs::create_dir(bench.path("evaluated")).unwrap();
    let mut evaluate = bench.evaluate("run");
    evaluate.args(["--json", "evaluated/metrics.json", "--report", "evaluated/report.html"]);
    succeed(evaluate.args(["--device", "cpu"]));
    assert_complete(&bench.path("evaluated"), SECTIONS, 1);
}

#[test]
#[ignore = "needs Chromium"]
fn the_report_of_a_cross_validation_is_whole_on_any_screen() {
    let bench = Workbench::new();
    succeed(bench.cross_validate("cv").args(["--lr", "0.01"]));
    assert_complete(
        &bench.path("cv"),
        &format!("{SECTIONS} roc precision-recall folds history augmentation labels"),
        37,
    );
}
