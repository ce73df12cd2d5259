//! Requests of the page on which smears are read.

use std::{path::Path, sync::Arc};

use axum::{
    Json,
    extract::{Multipart, Request, State, multipart::MultipartRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use malaria_classifier::EncodedImage;
use malaria_dataset::decode_photo;
use malaria_smear::{Error, ReviewedField, ReviewedSmear, Summary};
use tokio::time::timeout;

use super::{PHOTO_TIME, Server, admitted, in_turn, incomplete, received, refusal::Refusal, whole_body};
use crate::review::{jpeg, read, render};

/// Maximum bytes of a photograph, and of a report's record and pictures.
pub(super) const PHOTO_BYTES: usize = 64 << 20;
/// Most photographs in a report.
const FIELDS: usize = 400;

/// `POST /smear`: a photograph => the objects found in it.
pub(super) async fn photograph(
    State(server): State<Arc<Server>>,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Json<ReviewedField>, Refusal> {
    let permit = admitted(&server.photographs).await?;
    let photo = one(form).await?;
    let work = move |server: &Server| {
        let name = photo.name.to_string_lossy();
        read(&server.model, &name, &photo.bytes).map_err(Refusal::failed)
    };
    in_turn(server, permit, work).await.map(Json)
}

/// `POST /picture`: a photograph that browsers do not show, such as a TIFF => a JPEG of it.
pub(super) async fn picture(
    State(server): State<Arc<Server>>,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Response, Refusal> {
    let permit = admitted(&server.photographs).await?;
    let photo = one(form).await?;
    let work = move |_: &Server| {
        let unreadable = |error: malaria_dataset::Error| {
            let key = format!("refusal.{}", Error::from(error).key());
            Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, &key, [])
        };
        let decoded = decode_photo(&photo.bytes, Path::new(&photo.name)).map_err(unreadable)?;
        jpeg(decoded, u32::MAX).map_err(Refusal::failed)
    };
    let bytes = in_turn(server, permit, work).await?;
    Ok(([(header::CONTENT_TYPE, "image/jpeg")], bytes).into_response())
}

/// `POST /summary`: a reading => its counts, the machine's and the corrected ones.
pub(super) async fn summary(
    State(server): State<Arc<Server>>,
    request: Request,
) -> Result<Json<Summary>, Refusal> {
    let permit = admitted(&server.requests).await?;
    let body = whole_body(request).await?;
    let work = move |server: &Server| {
        let reading = parsed(server, &body)?;
        reading.summary(server.model.description()).map_err(|error| unprocessable(error.to_string()))
    };
    in_turn(server, permit, work).await.map(Json)
}

/// `POST /report`: a form with the reading and JPEGs of its photographs, named by their numbers from 0 => the report.
pub(super) async fn report(
    State(server): State<Arc<Server>>,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Response, Refusal> {
    let permit = admitted(&server.photographs).await?;
    let form = form.map_err(|rejection| Refusal::invalid(rejection.status(), rejection.body_text()))?;
    let mut parts =
        timeout(PHOTO_TIME, received(form, FIELDS + 1, PHOTO_BYTES)).await.map_err(|_| incomplete())??;
    let work = move |server: &Server| {
        let reading = parsed(server, &parts.remove(0).bytes)?;
        let mut pictures = vec![None; reading.fields.len()];
        for EncodedImage { name, bytes } in parts {
            let place: Option<usize> = name.to_str().and_then(|name| name.parse().ok());
            let Some(picture) = place.and_then(|place| pictures.get_mut(place)) else {
                return Err(unprocessable(format!("there is no photograph `{}`", name.display())));
            };
            // It is embedded unchanged, as a JPEG.
            if image::guess_format(&bytes).ok() != Some(image::ImageFormat::Jpeg) {
                return Err(unprocessable(format!("picture {}: expected a JPEG", name.display())));
            }
            *picture = Some(bytes.to_vec());
        }
        render(&server.model, &reading, &pictures).map_err(|error| unprocessable(format!("{error:#}")))
    };
    let page = in_turn(server, permit, work).await?;
    Ok(([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response())
}

async fn one(form: Result<Multipart, MultipartRejection>) -> Result<EncodedImage, Refusal> {
    let form = form.map_err(|rejection| Refusal::invalid(rejection.status(), rejection.body_text()))?;
    let mut photos =
        timeout(PHOTO_TIME, received(form, 1, PHOTO_BYTES)).await.map_err(|_| incomplete())??;
    // Exactly one, otherwise the request is refused.
    photos.pop().ok_or_else(|| unprocessable("expected a photograph".to_owned()))
}

/// A reading that was made with this server's model.
fn parsed(server: &Server, body: &[u8]) -> Result<ReviewedSmear, Refusal> {
    let reading: ReviewedSmear = serde_json::from_slice(body)
        .map_err(|error| unprocessable(format!("not a reading of a smear: {error}")))?;
    if reading.made_by.model_sha256 != server.model.sha256() {
        return Err(Refusal::new(StatusCode::CONFLICT, "server.other-model", []));
    }
    Ok(reading)
}

fn unprocessable(reason: String) -> Refusal {
    Refusal::invalid(StatusCode::UNPROCESSABLE_ENTITY, reason)
}
