//! `/bytes/N`: a body of exactly so many bytes.

use evidence::{ByteCount, NoByteCount};
use http::{Response, StatusCode};
use http_body_util::Either;

use super::call::{RouteCall, RouteRefusal, RouteResult};
use server::{Answer, HelloBody};

pub(super) async fn respond(call: RouteCall<'_>) -> RouteResult {
    let size: Result<ByteCount, NoByteCount> = call.parameter().parse();
    match size {
        Ok(ByteCount(bytes)) => {
            let plain = Answer { bytes, ..Answer::default() };
            Ok(Response::new(Either::Left(HelloBody::new(&plain))))
        }
        Err(error) => Err(RouteRefusal::new(StatusCode::BAD_REQUEST, error)),
    }
}
