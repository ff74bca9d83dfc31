//! `/upload`: takes a form (RFC 7578) or any other body, and keeps it or lets it go.
//!
//! Whatever ends an upload early, a limit, a broken form or a client that leaves, drops what is
//! being done here, and with it every file that was begun.

use bytes::Bytes;
use http::StatusCode;
use http_body::Body;
use http_body_util::{BodyDataStream, BodyExt, Limited};
use multer::Multipart;
use serde::Serialize;

use super::call::{RouteCall, RouteRefusal, RouteResult, body_refused, too_long};
use super::json::json;
use super::partial_file::PartialFile;
use super::upload_progress::Progress;
use super::uploads::Uploads;

/// How many parts a form may have: each costs a file.
const MOST_PARTS: usize = 100;

/// The longest name of a client's file that is shown, in characters.
const LONGEST_NAME: usize = 100;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Serialize)]
struct UploadReport {
    body_bytes: u64,
    parts: Vec<UploadPart>,
}

/// A part of a form, or the one and only part of another body.
#[derive(Default, Serialize)]
struct UploadPart {
    /// The name of the form's field.
    field: Option<String>,
    part_bytes: u64,
    /// The client's name for its file: to be shown, never to be opened.
    client_file_name: Option<String>,
    /// The name of the file in the server's directory.
    stored_as: Option<String>,
    #[serde(skip)]
    has_file: bool,
}

pub(super) async fn respond(call: RouteCall<'_>) -> RouteResult {
    let uploads = &call.desk.uploads;
    let hint = call.request.body().size_hint();
    if hint.lower() > uploads.limit {
        return Err(too_long(uploads.limit)); // before a byte of it was read
    }
    let boundary = boundary(&call)?;
    let progress = Progress::new(uploads.listener.clone(), call.desk.next_upload(), hint.exact());
    let limit = usize::try_from(uploads.limit).unwrap_or(usize::MAX);
    let mut body = Limited::new(call.request.into_body(), limit).map_frame(|frame| {
        progress.received(frame.data_ref().map_or(0, Bytes::len));
        frame
    });
    let mut inbox = Inbox { uploads, files: Vec::new(), parts: Vec::new() };
    match boundary {
        Some(boundary) => inbox.take_form(&mut body, boundary).await?,
        None => inbox.take_whole(&mut body).await?,
    }
    // What follows a form's last boundary says nothing, but it belongs to the body.
    while let Some(frame) = body.frame().await {
        frame.map_err(|error| body_refused(&*error, uploads.limit))?;
    }
    let Inbox { files, mut parts, .. } = inbox;
    let status = if files.is_empty() { StatusCode::OK } else { StatusCode::CREATED };
    let names = PartialFile::keep(files).await.map_err(|error| not_kept(&error))?;
    for (part, name) in parts.iter_mut().filter(|part| part.has_file).zip(names) {
        part.stored_as = Some(name);
    }
    progress.complete();
    json(status, &UploadReport { body_bytes: progress.received_bytes(), parts })
}

/// Returns what parts a form's parts, if the body is a form.
fn boundary(call: &RouteCall<'_>) -> Result<Option<String>, RouteRefusal> {
    let content_type = call.content_type().and_then(|value| value.to_str().ok());
    let is_form = |text: &&str| text.to_ascii_lowercase().starts_with("multipart/form-data");
    let boundary = content_type.filter(is_form).map(multer::parse_boundary).transpose();
    boundary.map_err(|error| RouteRefusal::new(StatusCode::BAD_REQUEST, error).closing())
}

/// The parts of one request that have come so far.
struct Inbox<'a> {
    uploads: &'a Uploads,
    files: Vec<PartialFile>,
    parts: Vec<UploadPart>,
}

impl Inbox<'_> {
    async fn take_whole<B>(&mut self, body: &mut B) -> Result<(), RouteRefusal>
    where
        B: Body<Data = Bytes, Error = BoxError> + Unpin,
    {
        let mut file = self.new_file().await?;
        let mut part = UploadPart::default();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| body_refused(&*error, self.uploads.limit))?;
            if let Some(bytes) = frame.data_ref() {
                part.take(bytes, &mut file).await?;
            }
        }
        self.finish(part, file).await
    }

    async fn take_form<B>(&mut self, body: &mut B, boundary: String) -> Result<(), RouteRefusal>
    where
        B: Body<Data = Bytes, Error = BoxError> + Send + Unpin,
    {
        let limit = self.uploads.limit;
        let broken = |error| form_refused(error, limit);
        let mut form = Multipart::new(BodyDataStream::new(body), boundary);
        while let Some(mut field) = form.next_field().await.map_err(broken)? {
            if self.parts.len() == MOST_PARTS {
                let words = format_args!("the form has more than {MOST_PARTS} parts");
                return Err(RouteRefusal::new(StatusCode::PAYLOAD_TOO_LARGE, words).closing());
            }
            let mut part = UploadPart {
                field: field.name().map(str::to_owned),
                client_file_name: field.file_name().and_then(for_display),
                ..UploadPart::default()
            };
            // A field without a file's name is a word or two, not a file.
            let mut file = match field.file_name() {
                Some(_) => self.new_file().await?,
                None => None,
            };
            while let Some(bytes) = field.chunk().await.map_err(broken)? {
                part.take(&bytes, &mut file).await?;
            }
            self.finish(part, file).await?;
        }
        Ok(())
    }

    async fn new_file(&self) -> Result<Option<PartialFile>, RouteRefusal> {
        let Some(directory) = &self.uploads.directory else { return Ok(None) };
        Ok(Some(PartialFile::create(directory).await.map_err(|error| not_kept(&error))?))
    }

    async fn finish(
        &mut self,
        mut part: UploadPart,
        file: Option<PartialFile>,
    ) -> Result<(), RouteRefusal> {
        if let Some(mut file) = file {
            file.flush().await.map_err(|error| not_kept(&error))?;
            part.has_file = true;
            self.files.push(file);
        }
        self.parts.push(part);
        Ok(())
    }
}

impl UploadPart {
    async fn take(
        &mut self,
        bytes: &Bytes,
        file: &mut Option<PartialFile>,
    ) -> Result<(), RouteRefusal> {
        self.part_bytes += bytes.len() as u64;
        if let Some(file) = file {
            file.write(bytes).await.map_err(|error| not_kept(&error))?;
        }
        Ok(())
    }
}

/// The last step of the path that a client gives, without what could trouble a terminal; nothing
/// if nothing is left.
fn for_display(client_file_name: &str) -> Option<String> {
    let name = client_file_name.rsplit(['/', '\\']).next().unwrap_or_default();
    let shown = name.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect::<String>();
    (!matches!(shown.as_str(), "" | "." | "..")).then_some(shown)
}

fn form_refused(error: multer::Error, limit: u64) -> RouteRefusal {
    match error {
        multer::Error::StreamReadFailed(error) => body_refused(&*error, limit),
        error => {
            let words = format_args!("the form is broken: {error}");
            RouteRefusal::new(StatusCode::BAD_REQUEST, words).closing()
        }
    }
}

/// The disk, not the client, is to blame.
fn not_kept(error: &std::io::Error) -> RouteRefusal {
    let words = format_args!("the upload cannot be kept: {error}");
    RouteRefusal::new(StatusCode::INTERNAL_SERVER_ERROR, words).closing()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_file_name_is_shown_without_its_path_and_without_control() {
        let shown = for_display;
        assert_eq!(shown("../../etc/passwd").unwrap(), "passwd");
        assert_eq!(shown("C:\\Users\\me\\photo.jpg").unwrap(), "photo.jpg");
        assert_eq!(shown("\u{1b}[2Jred\n.txt").unwrap(), "[2Jred.txt");
        assert_eq!(shown(&"n".repeat(1_000)).unwrap().len(), LONGEST_NAME);
        for nothing in ["", "..", ".", "a/", "\u{0}", "a/.."] {
            assert_eq!(shown(nothing), None, "{nothing:?}");
        }
    }
}
