//! The files of the pages.

use axum::{
    Router,
    http::header,
    routing::{MethodRouter, get},
};

use crate::review::LANGUAGES;

/// The scripts in the folder `smear`. `main` is that of the page for smears; both pages use the others.
const SMEAR_SCRIPTS: [(&str, &str); 14] = [
    ("main", include_str!("smear/main.js")),
    ("download", include_str!("smear/download.js")),
    ("dropped", include_str!("smear/dropped.js")),
    ("elements", include_str!("smear/elements.js")),
    ("fields", include_str!("smear/fields.js")),
    ("gallery", include_str!("smear/gallery.js")),
    ("pictures", include_str!("smear/pictures.js")),
    ("reading", include_str!("smear/reading.js")),
    ("results", include_str!("smear/results.js")),
    ("saving", include_str!("smear/saving.js")),
    ("server", include_str!("smear/server.js")),
    ("store", include_str!("smear/store.js")),
    ("texts", include_str!("smear/texts.js")),
    ("viewer", include_str!("smear/viewer.js")),
];

/// A route for each file.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    const SCRIPT: &str = "text/javascript; charset=utf-8";
    const PAGE: &str = "text/html; charset=utf-8";
    let mut routes = Router::new()
        .route("/", file(PAGE, include_str!("smear/page.html")))
        .route("/cells", file(PAGE, include_str!("page.html")))
        .route("/page.js", file(SCRIPT, include_str!("page.js")))
        .route("/page.css", file("text/css; charset=utf-8", include_str!("page.css")));
    for (name, script) in SMEAR_SCRIPTS {
        routes = routes.route(&format!("/smear/{name}.js"), file(SCRIPT, script));
    }
    for (language, texts) in LANGUAGES {
        routes = routes.route(&format!("/phrases/{language}"), file("application/json", texts));
    }
    routes
}

fn file<S: Clone + Send + Sync + 'static>(kind: &'static str, text: &'static str) -> MethodRouter<S> {
    get(move || async move { ([(header::CONTENT_TYPE, kind)], text) })
}
