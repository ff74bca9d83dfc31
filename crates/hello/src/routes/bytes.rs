//! `/bytes/N`: a body of exactly so many bytes.

use evidence::{ByteCount, NoByteCount};
use http::{Response, StatusCode};
use http_body_util::Either;

use super::call::{Answered, Call, Refusal};
use crate::answer::Answer;
use crate::body::HelloBody;

pub(super) async fn respond(call: Call<'_>) -> Answered {
    let size: Result<ByteCount, NoByteCount> = call.parameter().parse();
    match size {
        Ok(ByteCount(bytes)) => {
            let plain = Answer { bytes, ..Answer::default() };
            Ok(Response::new(Either::Left(HelloBody::new(&plain))))
        }
        Err(error) => Err(Refusal::new(StatusCode::BAD_REQUEST, error)),
    }
}
