//! Refused requests.

use std::{collections::BTreeMap, fmt::Display};

use axum::{
    Json,
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use maud::{DOCTYPE, html};
use serde_json::json;

use crate::review::{LANGUAGES, Phrases};

/// A refused request: the status, and the reason as a key of the texts with its values.
pub(super) struct Refusal {
    status: StatusCode,
    key: String,
    values: BTreeMap<&'static str, String>,
}

impl Refusal {
    pub(super) fn new<const N: usize>(
        status: StatusCode,
        key: &str,
        values: [(&'static str, String); N],
    ) -> Self {
        Self { status, key: key.to_owned(), values: BTreeMap::from(values) }
    }

    /// A request that the pages do not send, with a technical reason.
    pub(super) fn invalid(status: StatusCode, reason: String) -> Self {
        Self::new(status, "server.invalid", [("reason", reason)])
    }

    /// An error of the program, with a technical reason.
    pub(super) fn failed(error: impl Display) -> Self {
        let reason = format!("{error:#}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server.failed", [("reason", reason)])
    }

    /// The answer to a request with these headers: for a person who opens an address, a page in every language, since no
    /// script chooses one; for programs and scripts, JSON.
    pub(super) fn answer(self, headers: &HeaderMap) -> Response {
        let accepted = headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok());
        if !accepted.is_some_and(|accepted| accepted.contains("text/html")) {
            return self.into_response();
        }
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { "malaria-edge" }
                }
                body {
                    @for (language, _) in LANGUAGES {
                        p lang=(language) { (self.words(language)) }
                    }
                }
            }
        };
        (self.status, Html(page.into_string())).into_response()
    }

    fn words(&self, language: &str) -> String {
        let values: Vec<(&str, &str)> =
            self.values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let phrases = Phrases::of(language);
        phrases.map_or_else(|_| self.key.clone(), |phrases| phrases.with(&self.key, &values))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.words("en"), "key": self.key, "values": self.values });
        (self.status, Json(body)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_words_in_every_language() {
        let refusal =
            || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "server.host", [("host", "<lab>".to_owned())]);
        let words = LANGUAGES.map(|(language, _)| refusal().words(language));
        assert!(words.iter().all(|words| words.contains("<lab>") && !words.contains("server.")), "{words:?}");
        let kind = |headers: &HeaderMap| refusal().answer(headers).headers()[header::CONTENT_TYPE].clone();
        let mut headers = HeaderMap::new();
        assert_eq!(kind(&headers), "application/json");
        headers.insert(header::ACCEPT, "text/html,*/*;q=0.8".parse().unwrap());
        assert_eq!(kind(&headers), "text/html; charset=utf-8");
    }
}
