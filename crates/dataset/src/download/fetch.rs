//! One request: the whole archive, or the rest of it.

use std::io::{self, Read};

use ureq::Agent;
use ureq::http::header::{CONTENT_RANGE, ETAG, HeaderMap, HeaderName, IF_RANGE, LAST_MODIFIED, RANGE};
use ureq::http::{Response, Uri};

use super::caller::{Caller, DownloadProgress, Failure};
use super::config::DownloadConfig;
use super::part::{Part, Source};
use super::problem::DownloadProblem;

/// Bytes read at once.
const CHUNK: usize = 1 << 16;
/// What every archive begins with; an empty one does not, and is of no use.
const ZIP: &[u8] = b"PK\x03\x04";
/// Bytes of something else that a message shows.
const SHOWN: usize = 40;

pub(super) fn agent(config: &DownloadConfig, url: &str) -> Agent {
    let mut builder = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(config.connect_timeout))
        .timeout_per_read(Some(config.stall_timeout))
        .timeout_per_write(Some(config.stall_timeout))
        .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")));
    if is_this_machine(url) {
        builder = builder.proxy(None);
    }
    builder.build().into()
}

fn is_this_machine(url: &str) -> bool {
    let uri = url.parse::<Uri>();
    let host = uri.as_ref().ok().and_then(Uri::host).unwrap_or_default();
    host == "localhost" || host == "[::1]" || host.starts_with("127.")
}

/// Brings the part up to the whole archive.
pub(super) fn fetch(
    config: &DownloadConfig,
    agent: &Agent,
    url: &str,
    part: &mut Part,
    caller: &mut Caller<'_>,
) -> Result<(), Failure> {
    let resume = resume_headers(config, url, part);
    let have = if resume.is_empty() { 0 } else { part.len() };
    caller.tell(DownloadProgress::Connecting { url: url.to_owned(), have })?;
    let mut request = agent.get(url);
    for (name, value) in resume {
        request = request.header(name, value);
    }
    let response = request.call().map_err(|error| problem(config, &error))?;
    match response.status().as_u16() {
        200 => begin(config, url, response, part, caller),
        206 if have > 0 => {
            let total = match content_range(response.headers()) {
                Some((Some(start), total)) if start == have => total,
                _ => return Err(DownloadProblem::WrongRange.into()),
            };
            check_total(config, total)?;
            part.go_on()?;
            receive(config, response.into_body().into_reader(), total, part, caller)
        }
        416 if have > 0 => match content_range(response.headers()) {
            // There is nothing behind what is there: it was the whole.
            Some((None, Some(total))) if total == have => Ok(()),
            _ => {
                part.clear()?;
                Err(DownloadProblem::WrongRange.into())
            }
        },
        status => Err(DownloadProblem::Status { status }.into()),
    }
}

/// The headers that ask for the rest only, where it can be told that it belongs to what is there; else none.
fn resume_headers(config: &DownloadConfig, url: &str, part: &Part) -> Vec<(HeaderName, String)> {
    let mut headers = Vec::new();
    if part.len() == 0 {
        return headers;
    }
    let range = (RANGE, format!("bytes={}-", part.len()));
    let source = part.source().filter(|source| source.url == url);
    if let Some(validator) = source.and_then(|source| source.validator.clone()) {
        headers.extend([range, (IF_RANGE, validator)]);
    } else if config.expected_sha256.is_some() {
        // The hash will tell.
        headers.push(range);
    }
    headers
}

/// Takes an answer with the whole archive. What is there is thrown away only for something that looks better.
fn begin(
    config: &DownloadConfig,
    url: &str,
    response: Response<ureq::Body>,
    part: &mut Part,
    caller: &mut Caller<'_>,
) -> Result<(), Failure> {
    let total = response.body().content_length();
    let validator = validator(response.headers());
    let mut body = response.into_body().into_reader();
    let mut head = Vec::new();
    body.by_ref().take(SHOWN as u64).read_to_end(&mut head).map_err(|error| body_problem(config, error))?;
    if !head.starts_with(ZIP) {
        let begins = head.escape_ascii().to_string();
        return Err(DownloadProblem::NotAZip { begins }.into());
    }
    check_total(config, total)?;
    part.begin(Source { url: url.to_owned(), validator, total })?;
    receive(config, head.as_slice().chain(body), total, part, caller)
}

fn check_total(config: &DownloadConfig, total: Option<u64>) -> Result<(), DownloadProblem> {
    match (total, config.expected_bytes) {
        (Some(found), Some(expected)) if found != expected => {
            Err(DownloadProblem::WrongSize { expected, found })
        }
        (Some(found), _) if found > config.max_bytes => Err(too_large(config)),
        _ => Ok(()),
    }
}

fn too_large(config: &DownloadConfig) -> DownloadProblem {
    DownloadProblem::TooMuch { what: "the size of the archive in bytes", most: config.max_bytes }
}

fn receive(
    config: &DownloadConfig,
    mut body: impl Read,
    total: Option<u64>,
    part: &mut Part,
    caller: &mut Caller<'_>,
) -> Result<(), Failure> {
    let mut chunk = vec![0; CHUNK];
    loop {
        match body.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                part.append(&chunk[..read])?;
                let total = total.or(config.expected_bytes);
                caller.tell(DownloadProgress::Receiving { received: part.len(), total })?;
                // A server that tells no size could go on for ever.
                if part.len() > config.max_bytes {
                    part.clear()?;
                    return Err(too_large(config).into());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(body_problem(config, error).into()),
        }
    }
}

fn body_problem(config: &DownloadConfig, error: io::Error) -> DownloadProblem {
    problem(config, &ureq::Error::from(error))
}

fn problem(config: &DownloadConfig, error: &ureq::Error) -> DownloadProblem {
    let timed_out = |error: &io::Error| {
        // What the socket itself says, where the client has not put it into words.
        matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
    };
    match error {
        ureq::Error::Timeout(ureq::Timeout::PerRead | ureq::Timeout::PerWrite) => {
            DownloadProblem::Stalled { waited: config.stall_timeout }
        }
        ureq::Error::Io(error) if timed_out(error) => {
            DownloadProblem::Stalled { waited: config.stall_timeout }
        }
        error => DownloadProblem::Connection { reason: error.to_string() },
    }
}

/// What `If-Range` may carry: a strong tag, or a date.
fn validator(headers: &HeaderMap) -> Option<String> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    header(ETAG).filter(|tag| tag.starts_with('"')).or_else(|| header(LAST_MODIFIED)).map(str::to_owned)
}

/// Start and total size in `bytes 5-9/10`, `bytes 5-9/*` or `bytes */10`.
fn content_range(headers: &HeaderMap) -> Option<(Option<u64>, Option<u64>)> {
    let (range, total) =
        headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?.trim().split_once('/')?;
    let start = range.split_once('-').and_then(|(start, _)| start.parse().ok());
    Some((start, total.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let read = |text: &'static str| {
            content_range(&HeaderMap::from_iter([(CONTENT_RANGE, text.parse().unwrap())]))
        };
        assert_eq!(read("bytes 5-9/10"), Some((Some(5), Some(10))));
        assert_eq!(read("bytes 5-9/*"), Some((Some(5), None)));
        assert_eq!(read("bytes */10"), Some((None, Some(10))));
        assert_eq!(read("lines 5-9/10"), None);
        assert_eq!(read("bytes 5-9"), None);
    }

    #[test]
    fn weak_tags_do_not_prove_that_bytes_are_the_same() {
        let read = |pairs: &[(HeaderName, &'static str)]| {
            validator(&pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect())
        };
        let date = "Wed, 21 Oct 2015 07:28:00 GMT";
        assert_eq!(read(&[(ETAG, "\"a\""), (LAST_MODIFIED, date)]).as_deref(), Some("\"a\""));
        assert_eq!(read(&[(ETAG, "W/\"a\""), (LAST_MODIFIED, date)]).as_deref(), Some(date));
        assert_eq!(read(&[(ETAG, "W/\"a\"")]), None);
    }

    #[test]
    fn only_this_machine_is_asked_without_a_proxy() {
        for url in ["http://127.0.0.1:80/a", "http://localhost/a", "http://[::1]:9/a"] {
            assert!(is_this_machine(url), "{url}");
        }
        for url in ["http://localhost.example/a", "https://data.lhncbc.nlm.nih.gov/a", "http://10.0.0.1/"] {
            assert!(!is_this_machine(url), "{url}");
        }
    }
}
