//! `malaria-edge serve`: a page on this machine, on which pictures are dropped and called.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /` | the page, which fetches `/page.css` and `/page.js` and nothing else |
//! | `GET /model` | what the model says of itself, as `info` prints it |
//! | `POST /classify` | pictures in `multipart/form-data`, each with its file name => what `classify --json` prints of each |
//! | `POST /patients` | such predictions => the patients that the file names tell |
//!
//! What is refused is answered with `{"error": "…"}`. Nothing is stored: pictures are in memory while their request is
//! answered. Whoever is slow, sends too much or comes in numbers waits or is refused, and memory stays bounded.

mod guard;

use std::{
    future::poll_fn,
    net::SocketAddr,
    path::PathBuf,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use axum::{
    Json, Router,
    body::{Bytes, HttpBody},
    extract::{
        DefaultBodyLimit, FromRequest, Multipart, Request, State,
        multipart::{MultipartError, MultipartRejection},
    },
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use malaria_classifier::{EncodedImage, PatientPrediction, Prediction, roll_up};
use malaria_edge::Model;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{JoinError, spawn_blocking},
    time::{error::Elapsed, sleep, timeout},
};

/// Bytes of a request at most.
const REQUEST_BYTES: usize = 16 << 20;
/// Pictures of a request at most.
const PICTURES: usize = 64;
/// Predictions of a roll-up at most: to evaluate so many of one patient takes a second or two.
const PREDICTIONS: usize = 50_000;
/// Pixels of a picture's longer side at most: four times what the input check takes for a cell. Decoded it has 12 MiB.
const LONGEST_SIDE: u32 = 2048;
/// Connections at once; more wait until one ends.
const CONNECTIONS: usize = 256;
/// Requests in memory at once; more wait.
const REQUESTS: usize = 16;
/// How long they wait before they are sent away.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a client may take for the head of a request, or for the next request on a connection.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a client may take for the body of a request.
const BODY_TIME: Duration = Duration::from_secs(10);
/// How long a connection takes requests, so that nobody who reads nothing holds one for ever.
const CONNECTION_TIME: Duration = Duration::from_secs(300);
/// How long the request that is then under way may still take.
const REQUEST_TIME: Duration = Duration::from_secs(60);
/// How long requests under way have when the program is asked to end.
const LAST_TIME: Duration = Duration::from_secs(5);

/// What all requests share.
struct Server {
    model: Model,
    info: Value,
    /// A permit is held while a request is in memory.
    requests: Arc<Semaphore>,
    /// The runtime uses all cores for one batch: batches take turns, and roll-ups with them.
    turn: Arc<Semaphore>,
}

/// Serves `model` on `address` until the process is interrupted. `ready` hears where, which a port of 0 leaves to the system.
///
/// # Errors
/// When the address cannot be had.
pub(crate) fn serve(
    model: Model,
    info: Value,
    address: SocketAddr,
    ready: impl FnOnce(SocketAddr),
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let served = runtime.block_on(async {
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("cannot listen on {address}: choose another --port, 0 for any that is free, or --host")
        })?;
        let local = listener.local_addr()?;
        let server =
            Server { model, info, requests: Semaphore::new(REQUESTS).into(), turn: Semaphore::new(1).into() };
        let app = router(Arc::new(server));
        let end = interrupted()?;
        ready(local);
        accept(&listener, app, end).await;
        Ok(())
    });
    // Dropped, the runtime would wait for pictures whose predictions nobody waits for any more.
    runtime.shutdown_background();
    served
}

fn router(server: Arc<Server>) -> Router {
    let text = |kind: &'static str, text: &'static str| {
        get(move || async move { ([(header::CONTENT_TYPE, kind)], text) })
    };
    Router::new()
        .route("/", text("text/html; charset=utf-8", include_str!("page.html")))
        .route("/page.css", text("text/css; charset=utf-8", include_str!("page.css")))
        .route("/page.js", text("text/javascript; charset=utf-8", include_str!("page.js")))
        .route("/model", get(async |State(server): State<Arc<Server>>| Json(server.info.clone())))
        .route("/classify", post(classify))
        .route("/patients", post(patients))
        .fallback(async || {
            Refusal(StatusCode::NOT_FOUND, "there is nothing here; the page is at /".to_owned())
        })
        .method_not_allowed_fallback(async || {
            Refusal(
                StatusCode::METHOD_NOT_ALLOWED,
                "expected GET for the page and /model, POST for the others".to_owned(),
            )
        })
        .layer(DefaultBodyLimit::max(REQUEST_BYTES))
        .layer(middleware::from_fn(refuse_large))
        .layer(middleware::from_fn(guard::check))
        .with_state(server)
}

/// Takes connections until `end` is reached, then lets the requests under way end.
async fn accept(listener: &TcpListener, app: Router, end: impl Future<Output = ()>) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let ending = watch::Sender::new(());
    let mut end = pin!(end);
    loop {
        let next = async {
            let permit = connections.clone().acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = &mut end => break,
            next = next => next,
        };
        let Ok((stream, _)) = accepted else {
            // No more files may be opened just now, say: others have to end first.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app.clone()));
        let mut ended = ending.subscribe();
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            // How a connection ends is the client's affair.
            tokio::select! {
                _ = connection.as_mut() => {}
                _ = timeout(CONNECTION_TIME, ended.changed()) => {
                    connection.as_mut().graceful_shutdown();
                    let _ = timeout(REQUEST_TIME, connection).await;
                }
            }
            drop(permit);
        });
    }
    ending.send_replace(());
    let _ = timeout(LAST_TIME, ending.closed()).await;
}

/// Ctrl-C, or what a service manager sends.
fn interrupted() -> Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    #[cfg(unix)]
    let terminated = async move {
        terminated.recv().await;
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    Ok(async {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            () = terminated => {}
        }
    })
}

async fn classify(
    State(server): State<Arc<Server>>,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Json<Vec<Prediction>>, Refusal> {
    let form = form.map_err(|rejection| Refusal(rejection.status(), rejection.body_text()))?;
    let permit = admitted(&server).await?;
    let pictures = timeout(BODY_TIME, received(form)).await.map_err(slow)??;
    in_turn(server, permit, move |server| {
        let said = server.model.classify_encoded(&pictures, LONGEST_SIDE);
        said.map_err(|error| Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
    })
    .await
}

async fn patients(
    State(server): State<Arc<Server>>,
    request: Request,
) -> Result<Json<Vec<PatientPrediction>>, Refusal> {
    let permit = admitted(&server).await?;
    let body = timeout(BODY_TIME, Bytes::from_request(request, &()))
        .await
        .map_err(slow)?
        .map_err(|rejection| Refusal(rejection.status(), rejection.body_text()))?;
    in_turn(server, permit, move |server| {
        let Json(predictions) = Json::<Vec<Prediction>>::from_bytes(&body)
            .map_err(|rejection| Refusal(rejection.status(), rejection.body_text()))?;
        let found = predictions.len();
        if found > PREDICTIONS {
            let words = format!(
                "expected at most {PREDICTIONS} cells to call patients by, found {found}: take fewer at once"
            );
            return Err(Refusal(StatusCode::PAYLOAD_TOO_LARGE, words));
        }
        let patients = roll_up(server.model.description(), &predictions);
        patients.map_err(|error| Refusal(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))
    })
    .await
}

/// What `work` comes to, when its turn has come: on a thread of its own, since those that answer others must not wait for it.
async fn in_turn<T: Send + 'static>(
    server: Arc<Server>,
    permit: OwnedSemaphorePermit,
    work: impl FnOnce(&Server) -> Result<T, Refusal> + Send + 'static,
) -> Result<Json<T>, Refusal> {
    let turn = server.turn.clone().acquire_owned().await;
    let done = spawn_blocking(move || {
        // Here, since the client may be gone before the work is done, and its memory is not given back before that.
        let _held = (turn, permit);
        work(&server)
    });
    let failed = |error: JoinError| Err(Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()));
    done.await.unwrap_or_else(failed).map(Json)
}

/// Refuses a request that says it is too large, once it has come in unread: a connection that ends while the client still sends
/// takes the answer with it.
async fn refuse_large(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let length =
        headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_none_or(|length| length <= REQUEST_BYTES as u64) {
        return next.run(request).await;
    }
    // Whoever expects to be told to go on sends nothing before.
    if !headers.contains_key(header::EXPECT) {
        let mut body = request.into_body();
        let rest = async {
            while let Some(Ok(_)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {}
        };
        let _ = timeout(BODY_TIME, rest).await;
    }
    too_large().into_response()
}

fn too_large() -> Refusal {
    let words =
        format!("expected at most {} MiB a request: send fewer pictures at once", REQUEST_BYTES >> 20);
    Refusal(StatusCode::PAYLOAD_TOO_LARGE, words)
}

/// Waits until one more request may be in memory.
async fn admitted(server: &Server) -> Result<OwnedSemaphorePermit, Refusal> {
    let busy = || Refusal(StatusCode::SERVICE_UNAVAILABLE, "too many requests at once: try again".to_owned());
    let permit = timeout(PATIENCE, server.requests.clone().acquire_owned()).await;
    permit.map_err(|_| busy())?.map_err(|_| busy())
}

fn slow(_: Elapsed) -> Refusal {
    let words = format!("the request took more than {} s to arrive: send less at once", BODY_TIME.as_secs());
    Refusal(StatusCode::REQUEST_TIMEOUT, words)
}

/// The pictures in a form, under the names that they were sent by.
async fn received(mut form: Multipart) -> Result<Vec<EncodedImage>, Refusal> {
    let broken = |error: MultipartError| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        // What axum says of a body that breaks off, as if it were our fault.
        StatusCode::INTERNAL_SERVER_ERROR => {
            Refusal(StatusCode::BAD_REQUEST, "the request did not arrive whole: send it again".to_owned())
        }
        status => Refusal(status, error.body_text()),
    };
    let mut pictures = Vec::new();
    while let Some(field) = form.next_field().await.map_err(broken)? {
        let Some(name) = field.file_name().map(PathBuf::from) else {
            let words = format!(
                "expected pictures with file names, found the field `{}`",
                field.name().unwrap_or_default()
            );
            return Err(Refusal(StatusCode::BAD_REQUEST, words));
        };
        if pictures.len() == PICTURES {
            let words = format!("expected at most {PICTURES} pictures a request, found more");
            return Err(Refusal(StatusCode::PAYLOAD_TOO_LARGE, words));
        }
        let bytes = field.bytes().await.map_err(broken)?.into();
        pictures.push(EncodedImage { name, bytes });
    }
    if pictures.is_empty() {
        return Err(Refusal(StatusCode::BAD_REQUEST, "expected pictures, found none".to_owned()));
    }
    Ok(pictures)
}

/// Why a request is not answered.
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}
