//! `malaria-edge serve`: local web pages that read smears and classify pictures of single cells.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /`, `GET /cells` | the pages for smears and for single cells, which load only [`files`] of this server |
//! | `GET /phrases/LANGUAGE` | the texts of the page for smears in a language |
//! | `GET /model` | the description of the model, as printed by `info` |
//! | `POST /smear` | a photograph in `multipart/form-data` with a file name => the objects found in it |
//! | `POST /picture` | the same => a JPEG of it |
//! | `POST /summary` | a reading of a smear => its counts |
//! | `POST /report` | a reading and JPEGs of its photographs => the report |
//! | `POST /classify` | pictures of single cells in `multipart/form-data` with file names => their predictions, as in `classify --json` |
//! | `POST /patients` | such predictions => those for their patients |
//!
//! Predictions also have `warnings` and `problem`, the keys of their texts. Refused requests are answered with `{"error": "…",
//! "key": "…", "values": {…}}`: the reason in English, and as a key of the texts with its values. Nothing is stored: pictures
//! stay in memory only while their request is answered. Excess requests wait, slow or oversized ones are refused, and memory
//! is bounded.

mod files;
mod guard;
mod refusal;
mod smear;

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
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use malaria_classifier::{EncodedImage, PatientPrediction, Prediction, Provenance, call_patients};
use malaria_dataset::{ImageProblem, InputWarning, MAX_CELL_SIDE};
use malaria_edge::Model;
use serde::Serialize;
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{JoinError, spawn_blocking},
    time::{sleep, timeout},
};
use tower_http::timeout::RequestBodyTimeoutLayer;

use self::{refusal::Refusal, smear::PHOTO_BYTES};
use crate::program::description;

/// Maximum bytes of a request. The summary of 100,000 cells takes 12 MB.
const REQUEST_BYTES: usize = 16 << 20;
/// Maximum number of pictures in a request.
const PICTURES: usize = 64;
/// Maximum number of predictions in a request to call patients. It takes some seconds if the patients have many different
/// numbers of cells.
const PREDICTIONS: usize = 50_000;
/// Maximum side of a picture in pixels, twice that of a cell. Decoded it has 12 MiB.
const LONGEST_SIDE: u32 = 2 * MAX_CELL_SIDE;
/// Maximum number of connections; more wait.
const CONNECTIONS: usize = 256;
/// Maximum number of requests in memory; more wait.
const REQUESTS: usize = 16;
/// Time after which a waiting request is refused.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time limit for the head of a request, and for the next request on a connection.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Longest silence while the body of a request arrives.
const SILENCE: Duration = Duration::from_secs(10);
/// Time limit for the body of a request: the page's requests of 2 MiB take 84 s at 25 kB/s.
const BODY_TIME: Duration = Duration::from_secs(120);
/// Time limit for the body of a photograph: 10 MB take 400 s at 25 kB/s.
const PHOTO_TIME: Duration = Duration::from_secs(600);
/// Maximum number of photographs and reports held in memory while they arrive; more wait. There are several permits because
/// slow senders hold one for a long time. Only one photograph is decoded at a time, which takes 300 MB for the largest one
/// accepted, of 100 megapixels.
const PHOTOGRAPHS: usize = 12;
/// Time for which a connection accepts requests, so that clients that read nothing do not hold it forever.
const CONNECTION_TIME: Duration = Duration::from_secs(300);
/// Time limit for the last request of a connection after that.
const REQUEST_TIME: Duration = Duration::from_secs(PHOTO_TIME.as_secs() + 60);
/// Time limit for open requests at shutdown.
const SHUTDOWN_TIME: Duration = Duration::from_secs(5);

/// State shared by all requests.
struct Server {
    model: Model,
    info: Value,
    /// A permit is held while a request is in memory.
    requests: Arc<Semaphore>,
    /// A permit is held while a photograph or report is in memory.
    photographs: Arc<Semaphore>,
    /// The runtime uses all cores for one batch, so batches and calls of patients take turns.
    turn: Arc<Semaphore>,
}

/// Serves `model` on `address` until the process is interrupted. `ready` gets the address with the actual port.
///
/// # Errors
/// When the address is not available.
pub(crate) fn serve(
    model: Model,
    made_by: Provenance,
    address: SocketAddr,
    ready: impl FnOnce(SocketAddr),
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let served = runtime.block_on(async {
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("cannot listen on {address}: choose another --port (0 for any free one) or --host")
        })?;
        let local = listener.local_addr()?;
        let mut info = description(&model);
        info["made_by"] = serde_json::to_value(made_by)?;
        info["calls_patients"] = model.description().patient_caller().is_ok().into();
        let [requests, photographs, turn] =
            [REQUESTS, PHOTOGRAPHS, 1].map(|permits| Semaphore::new(permits).into());
        let server = Server { model, info, requests, photographs, turn };
        let app = router(Arc::new(server));
        let end = interrupted()?;
        ready(local);
        accept(&listener, app, end).await;
        Ok(())
    });
    // Dropping the runtime would wait for predictions that no client needs any more.
    runtime.shutdown_background();
    served
}

fn router(server: Arc<Server>) -> Router {
    files::routes()
        .route("/model", get(async |State(server): State<Arc<Server>>| Json(server.info.clone())))
        .merge(limited(
            Router::new()
                .route("/classify", post(classify))
                .route("/patients", post(patients))
                .route("/summary", post(smear::summary)),
            REQUEST_BYTES,
        ))
        .merge(limited(
            Router::new()
                .route("/smear", post(smear::photograph))
                .route("/picture", post(smear::picture))
                .route("/report", post(smear::report)),
            PHOTO_BYTES,
        ))
        .fallback(async |headers: HeaderMap| {
            Refusal::new(StatusCode::NOT_FOUND, "server.not-found", []).answer(&headers)
        })
        .method_not_allowed_fallback(async |headers: HeaderMap| {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "server.method", []).answer(&headers)
        })
        .layer(RequestBodyTimeoutLayer::new(SILENCE))
        .layer(middleware::from_fn(guard::check))
        .with_state(server)
}

/// `routes` that accept requests of at most `bytes`.
fn limited(routes: Router<Arc<Server>>, bytes: usize) -> Router<Arc<Server>> {
    routes
        .layer(DefaultBodyLimit::max(bytes))
        .layer(middleware::from_fn(move |request, next| refuse_large(bytes, request, next)))
}

/// Accepts connections until `end` resolves, then lets open requests finish.
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
            // Such as too many open files: wait for connections to end.
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
            // Errors of a connection concern only the client.
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
    let _ = timeout(SHUTDOWN_TIME, ending.closed()).await;
}

/// Resolves on Ctrl-C or a service manager's signal.
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

/// A prediction with the keys of its texts.
#[derive(Serialize)]
struct KeyedPrediction {
    #[serde(flatten)]
    prediction: Prediction,
    warnings: Vec<InputWarning>,
    problem: Option<ImageProblem>,
}

impl From<Prediction> for KeyedPrediction {
    fn from(prediction: Prediction) -> Self {
        Self { warnings: prediction.warnings.clone(), problem: prediction.problem, prediction }
    }
}

async fn classify(
    State(server): State<Arc<Server>>,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Json<Vec<KeyedPrediction>>, Refusal> {
    let form = form.map_err(|rejection| Refusal::invalid(rejection.status(), rejection.body_text()))?;
    let permit = admitted(&server.requests).await?;
    let pictures =
        timeout(BODY_TIME, received(form, PICTURES, REQUEST_BYTES)).await.map_err(|_| incomplete())??;
    in_turn(server, permit, move |server| {
        let predictions = server.model.classify_encoded(&pictures, LONGEST_SIDE).map_err(Refusal::failed)?;
        Ok(predictions.into_iter().map(KeyedPrediction::from).collect::<Vec<_>>())
    })
    .await
    .map(Json)
}

async fn patients(
    State(server): State<Arc<Server>>,
    request: Request,
) -> Result<Json<Vec<PatientPrediction>>, Refusal> {
    let permit = admitted(&server.requests).await?;
    let body = whole_body(request).await?;
    in_turn(server, permit, move |server| {
        let Json(predictions) = Json::<Vec<Prediction>>::from_bytes(&body)
            .map_err(|rejection| Refusal::invalid(rejection.status(), rejection.body_text()))?;
        let found = predictions.len();
        if found > PREDICTIONS {
            let values = [("limit", PREDICTIONS.to_string()), ("found", found.to_string())];
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "server.too-many-cells", values));
        }
        let patients = call_patients(server.model.description(), &predictions);
        patients.map_err(|error| Refusal::invalid(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))
    })
    .await
    .map(Json)
}

/// Runs `work` on a separate thread when its turn comes, so that other requests are answered in the meantime.
async fn in_turn<T: Send + 'static>(
    server: Arc<Server>,
    permit: OwnedSemaphorePermit,
    work: impl FnOnce(&Server) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let turn = server.turn.clone().acquire_owned().await;
    let done = spawn_blocking(move || {
        // Held until the work is done, even if the client has gone: its memory is in use until then.
        let _held = (turn, permit);
        work(&server)
    });
    done.await.unwrap_or_else(|error: JoinError| Err(Refusal::failed(error)))
}

/// Refuses a request whose length is too large, after reading and discarding its body: if the connection were closed while
/// the client is still sending, the client would not receive the answer.
async fn refuse_large(bytes: usize, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let length =
        headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_none_or(|length| length <= bytes as u64) {
        return next.run(request).await;
    }
    // A client with `Expect: 100-continue` has sent no body.
    if !headers.contains_key(header::EXPECT) {
        let mut body = request.into_body();
        let rest = async {
            while let Some(Ok(_)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {}
        };
        let _ = timeout(BODY_TIME, rest).await;
    }
    too_large(bytes).into_response()
}

fn too_large(bytes: usize) -> Refusal {
    let limit = (bytes >> 20).to_string();
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "server.too-large", [("limit", limit)])
}

/// Waits for a permit to hold a request in memory.
async fn admitted(permits: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Refusal> {
    let busy = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "server.busy", []);
    let permit = timeout(PATIENCE, permits.clone().acquire_owned()).await;
    permit.map_err(|_| busy())?.map_err(|_| busy())
}

fn incomplete() -> Refusal {
    let seconds = SILENCE.as_secs().to_string();
    Refusal::new(StatusCode::BAD_REQUEST, "server.incomplete", [("seconds", seconds)])
}

/// The body of a request that is not a form.
async fn whole_body(request: Request) -> Result<Bytes, Refusal> {
    let body = timeout(BODY_TIME, Bytes::from_request(request, &())).await.map_err(|_| incomplete())?;
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(REQUEST_BYTES),
        _ => incomplete(),
    })
}

/// The pictures of a form with their file names: one to `most` of them, in a request of at most `bytes`.
async fn received(mut form: Multipart, most: usize, bytes: usize) -> Result<Vec<EncodedImage>, Refusal> {
    let broken = |error: MultipartError| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(bytes),
        // axum's status for a truncated body, though it is the client's error.
        StatusCode::INTERNAL_SERVER_ERROR => incomplete(),
        status => Refusal::invalid(status, error.body_text()),
    };
    let mut pictures = Vec::new();
    while let Some(field) = form.next_field().await.map_err(broken)? {
        let Some(name) = field.file_name().map(PathBuf::from) else {
            let name = field.name().unwrap_or_default();
            let reason = format!("expected pictures with file names, found the field `{name}`");
            return Err(Refusal::invalid(StatusCode::BAD_REQUEST, reason));
        };
        if pictures.len() == most {
            let limit = [("limit", most.to_string())];
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "server.too-many-pictures", limit));
        }
        let bytes = field.bytes().await.map_err(broken)?.into();
        pictures.push(EncodedImage { name, bytes });
    }
    if pictures.is_empty() {
        let reason = "expected pictures, found none".to_owned();
        return Err(Refusal::invalid(StatusCode::BAD_REQUEST, reason));
    }
    Ok(pictures)
}
