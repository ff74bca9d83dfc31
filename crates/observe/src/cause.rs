//! Why a connection was closed, as far as a witness saw it.

use std::time::Duration;

use evidence::{Side, WireClose};

use crate::connection::{ConnectionEnd, ObservedConnection};
use crate::http2::SeenHttp2;
use crate::observation::Observation;

/// Silence that is shorter is no silence.
const SILENCE: Duration = Duration::from_millis(200);
/// What a program lets go of when it ends is heard so long before its end is seen.
const AT_THE_END: Duration = Duration::from_millis(500);

/// A cause of a close that a witness saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CloseCause {
    /// The request asked for it: `Connection: close`, or HTTP/1.0 without `keep-alive`.
    RequestAsked,
    /// The response announced it.
    ResponseSaid,
    /// The response was HTTP/1.0's, which closes unless it says otherwise.
    OldVersion,
    /// Only the end of the connection ended the response's body.
    EndsBody,
    /// The response was not whole.
    AmidResponse,
    /// A request had no answer.
    WithoutAnswer,
    /// Nothing had passed.
    NothingCarried,
    /// The program had ended, or ended so soon after.
    ProgramEnded,
    /// After so much silence, as several connections were closed, or as the server had announced.
    IdleTimeout {
        /// The silence.
        silence: Duration,
        /// The offer of the server's `Keep-Alive`, if it made one that this fits.
        announced: bool,
        /// How many connections were closed after as much, this one included.
        alike: usize,
    },
    /// After so much silence; once is no rule.
    AfterSilence(Duration),
    /// Behind a GOAWAY of HTTP/2, of this end's.
    GoAway(Side),
    /// At once behind a response that left the connection open.
    BehindResponse,
    /// What passed is not read, so nobody can say.
    NotRead,
}

impl CloseCause {
    /// Returns true if a message said it: then either end may carry it out.
    #[must_use]
    pub fn is_said(self) -> bool {
        matches!(self, Self::RequestAsked | Self::ResponseSaid | Self::OldVersion | Self::GoAway(_))
    }

    /// Its name for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RequestAsked => "request_asked",
            Self::ResponseSaid => "response_said",
            Self::OldVersion => "http_1_0",
            Self::EndsBody => "ends_body",
            Self::AmidResponse => "amid_response",
            Self::WithoutAnswer => "without_answer",
            Self::NothingCarried => "nothing_carried",
            Self::ProgramEnded => "program_ended",
            Self::IdleTimeout { .. } => "idle_timeout",
            Self::AfterSilence(_) => "after_silence",
            Self::GoAway(_) => "goaway",
            Self::BehindResponse => "behind_response",
            Self::NotRead => "not_read",
        }
    }
}

/// Returns why a connection was closed; `None` if it was not.
#[must_use]
pub fn close_cause(connection: &ObservedConnection, of: &Observation) -> Option<CloseCause> {
    let end = connection.end?;
    let is_client = matches!(
        end.by,
        WireClose::First(Side::Client) | WireClose::Reset(Side::Client) | WireClose::Both
    );
    let cause = cause_of(end, is_client, connection, of);
    // What a message said goes before what the program did.
    let is_said = match cause {
        CloseCause::BehindResponse
        | CloseCause::NothingCarried
        | CloseCause::AfterSilence(_)
        | CloseCause::NotRead => false,
        CloseCause::IdleTimeout { announced, .. } => announced,
        _ => true,
    };
    let ends_with_program = !is_said && is_client && is_at_programs_end(end, of);
    Some(if ends_with_program { CloseCause::ProgramEnded } else { cause })
}

fn cause_of(
    end: ConnectionEnd,
    is_client: bool,
    connection: &ObservedConnection,
    of: &Observation,
) -> CloseCause {
    if !connection.is_used() {
        return CloseCause::NothingCarried;
    }
    // A request that came when the connection was closed already has no part in it.
    let last = connection.exchanges.iter().rfind(|it| it.request.began <= end.at);
    let last = last.filter(|_| !connection.is_unreadable);
    if let Some(seen) = connection.http2.as_ref().filter(|_| !connection.is_unreadable) {
        return of_http2(seen, end, connection, of);
    }
    let Some(last) = last else {
        return by_silence(end, connection, of).unwrap_or(CloseCause::NotRead);
    };
    let Some(response) = &last.response else {
        return CloseCause::WithoutAnswer;
    };
    let is_whole = response.ended.is_some_and(|ended| ended <= end.at);
    match () {
        () if response.ends_with_connection && !is_client => CloseCause::EndsBody,
        () if response.is_handover => {
            by_silence(end, connection, of).unwrap_or(CloseCause::NotRead)
        }
        () if !is_whole => CloseCause::AmidResponse,
        () if last.request.says_close => CloseCause::RequestAsked,
        () if response.says_close => CloseCause::ResponseSaid,
        () if response.minor_version == 0 && !response.says_keep_alive => CloseCause::OldVersion,
        () => by_silence(end, connection, of).unwrap_or(CloseCause::BehindResponse),
    }
}

fn of_http2(
    seen: &SeenHttp2,
    end: ConnectionEnd,
    connection: &ObservedConnection,
    of: &Observation,
) -> CloseCause {
    if let Some(goaway) = seen.goaways.iter().find(|goaway| goaway.at <= end.at) {
        return CloseCause::GoAway(goaway.by);
    }
    match seen.streams.iter().any(|stream| stream.ended().is_none()) {
        true => CloseCause::AmidResponse,
        false => by_silence(end, connection, of).unwrap_or(CloseCause::BehindResponse),
    }
}

/// Returns true if the program was over when its end closed, or was about to be: nothing of any
/// connection began after it.
fn is_at_programs_end(end: ConnectionEnd, of: &Observation) -> bool {
    let ended = of.program.ended;
    let is_last = || {
        let began = |it: &ObservedConnection| {
            it.exchange_spans().iter().map(|(began, _)| *began).chain([it.dialled]).max()
        };
        of.connections.iter().filter_map(began).all(|began| began <= end.at)
    };
    !ended.is_zero() && end.at + AT_THE_END >= ended && is_last()
}

/// The cause of a close behind a silence, if there was one.
fn by_silence(
    end: ConnectionEnd,
    connection: &ObservedConnection,
    of: &Observation,
) -> Option<CloseCause> {
    let silence = end.silence;
    if silence < SILENCE {
        return None;
    }
    let near = |other: Duration| other.abs_diff(silence) <= silence.mul_f64(0.03).max(SILENCE / 2);
    let alike = |it: &&ObservedConnection| {
        let other = it.end.filter(|other| other.by == end.by && other.silence >= SILENCE);
        it.ends.server == connection.ends.server && other.is_some_and(|it| near(it.silence))
    };
    let alike = of.connections.iter().filter(alike).count();
    let answered = connection.exchanges.iter().rev().find_map(|it| it.response.as_ref());
    let offer = answered.and_then(|response| response.offer);
    let announced = offer.and_then(|offer| offer.timeout).is_some_and(near);
    Some(match announced || alike > 1 {
        true => CloseCause::IdleTimeout { silence, announced, alike },
        false => CloseCause::AfterSilence(silence),
    })
}
