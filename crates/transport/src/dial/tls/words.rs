//! What a failed handshake, or an alert, means: in plain words, whoever hears them.

use std::io;

use rustls::pki_types::UnixTime;
use rustls::{
    AlertDescription, CertificateError, Error as TlsLibrary, InvalidMessage, PeerIncompatible,
};
use wire::FirstClose;
use x509_parser::prelude::ASN1Time;

/// Why a handshake failed.
pub(crate) fn of_handshake(error: &io::Error) -> String {
    match (within(error), error.kind()) {
        (Some(error), _) => of_library(error),
        (None, io::ErrorKind::UnexpectedEof) => {
            "the server closed the connection during the handshake".to_owned()
        }
        (None, io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
            "the server reset the connection during the handshake".to_owned()
        }
        (None, _) => error.to_string(),
    }
}

/// Why TLS ended after the handshake, if that is what `error` is about.
pub(crate) fn after_handshake(error: &io::Error) -> Option<String> {
    within(error).map(of_library)
}

/// Returns who has given up TLS, if that is what `error` is about: whoever sends an alert closes,
/// and tells so before its FIN (RFC 8446 section 6.2).
pub(crate) fn who_gives_up(error: &io::Error) -> Option<FirstClose> {
    within(error).map(|error| match error {
        TlsLibrary::AlertReceived(_) => FirstClose::There,
        _ => FirstClose::Here,
    })
}

fn within(error: &io::Error) -> Option<&TlsLibrary> {
    error.get_ref().and_then(|within| within.downcast_ref())
}

fn of_library(error: &TlsLibrary) -> String {
    match error {
        TlsLibrary::InvalidCertificate(error) => return about_certificate(error),
        TlsLibrary::AlertReceived(alert) => return about_alert(*alert),
        TlsLibrary::InvalidMessage(InvalidMessage::CertificatePayloadTooLarge) => {
            "the server's certificates are larger than the 64 KiB that this client reads"
        }
        TlsLibrary::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge) => {
            "a message of the server's handshake is larger than the 64 KiB that this client reads"
        }
        TlsLibrary::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge
            | InvalidMessage::InvalidEmptyPayload,
        ) => "the server does not speak TLS",
        TlsLibrary::InvalidMessage(_) => "the server breaks the rules of TLS",
        TlsLibrary::NoApplicationProtocol => {
            "the server chose a version of HTTP that was not offered to it"
        }
        TlsLibrary::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => "the server speaks neither TLS 1.2 nor TLS 1.3",
        TlsLibrary::PeerIncompatible(_) => {
            "the server wants TLS in a way that this client does not speak"
        }
        TlsLibrary::PeerMisbehaved(_)
        | TlsLibrary::InappropriateMessage { .. }
        | TlsLibrary::InappropriateHandshakeMessage { .. }
        | TlsLibrary::PeerSentOversizedRecord => "the server breaks the rules of TLS",
        TlsLibrary::DecryptError => "what the server sent cannot be decrypted",
        TlsLibrary::NoCertificatesPresented => "the server showed no certificate",
        other => return other.to_string(),
    }
    .to_owned()
}

fn about_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::NoApplicationProtocol => {
            "the server speaks none of the versions of HTTP that were offered".to_owned()
        }
        AlertDescription::CertificateRequired => {
            "the server wants a client certificate, and this client has none".to_owned()
        }
        AlertDescription::HandshakeFailure => {
            "the server refused with the alert handshake_failure: perhaps it wants a client certificate, or a cipher suite that this client does not have"
                .to_owned()
        }
        alert => format!("the server refused with the alert {}", alert_name(alert)),
    }
}

/// An alert under its name in RFC 8446 section 6, or its number.
fn alert_name(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CloseNotify => "close_notify",
        AlertDescription::UnexpectedMessage => "unexpected_message",
        AlertDescription::BadRecordMac => "bad_record_mac",
        AlertDescription::RecordOverflow => "record_overflow",
        AlertDescription::HandshakeFailure => "handshake_failure",
        AlertDescription::BadCertificate => "bad_certificate",
        AlertDescription::UnsupportedCertificate => "unsupported_certificate",
        AlertDescription::CertificateRevoked => "certificate_revoked",
        AlertDescription::CertificateExpired => "certificate_expired",
        AlertDescription::CertificateUnknown => "certificate_unknown",
        AlertDescription::IllegalParameter => "illegal_parameter",
        AlertDescription::UnknownCA => "unknown_ca",
        AlertDescription::AccessDenied => "access_denied",
        AlertDescription::DecodeError => "decode_error",
        AlertDescription::DecryptError => "decrypt_error",
        AlertDescription::ProtocolVersion => "protocol_version",
        AlertDescription::InsufficientSecurity => "insufficient_security",
        AlertDescription::InternalError => "internal_error",
        AlertDescription::InappropriateFallback => "inappropriate_fallback",
        AlertDescription::UserCanceled => "user_canceled",
        AlertDescription::NoRenegotiation => "no_renegotiation",
        AlertDescription::MissingExtension => "missing_extension",
        AlertDescription::UnsupportedExtension => "unsupported_extension",
        AlertDescription::UnrecognisedName => "unrecognized_name",
        AlertDescription::BadCertificateStatusResponse => "bad_certificate_status_response",
        AlertDescription::UnknownPSKIdentity => "unknown_psk_identity",
        AlertDescription::CertificateRequired => "certificate_required",
        AlertDescription::NoApplicationProtocol => "no_application_protocol",
        other => return format!("of number {}", u8::from(other)),
    }
    .to_owned()
}

fn about_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::NotValidForNameContext { presented, .. } if !presented.is_empty() => {
            let names: Vec<&str> = presented.iter().map(|name| bare_name(name)).collect();
            format!("the server's certificate is not for this name, but for {}", names.join(", "))
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the server's certificate is not for this name".to_owned()
        }
        CertificateError::UnknownIssuer => {
            "nobody who is trusted here has signed the server's certificate".to_owned()
        }
        CertificateError::BadSignature => {
            "the server's certificate is not signed by whom it says, but by somebody of the same name"
                .to_owned()
        }
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("the server's certificate expired on {}", day_of(*not_after))
        }
        CertificateError::Expired => "the server's certificate has expired".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("the server's certificate is not valid before {}", day_of(*not_before))
        }
        CertificateError::NotValidYet => "the server's certificate is not valid yet".to_owned(),
        CertificateError::Revoked => "the server's certificate has been revoked".to_owned(),
        CertificateError::BadEncoding => "the server's certificate is damaged".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the server's certificate is not one for servers".to_owned()
        }
        // rustls has no word of its own for this one, which a certificate has that openssl makes
        // by default for itself.
        error if format!("{error:?}").contains("CaUsedAsEndEntity") => {
            "the server's certificate is one to sign others with (CA:TRUE), not one for servers".to_owned()
        }
        _ => "the server's certificate is not accepted".to_owned(),
    }
}

fn day_of(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    ASN1Time::from_timestamp(seconds).map_or_else(|_| "a day beyond telling".to_owned(), day)
}

/// `a.example` of `DnsName("a.example")`, which is how rustls writes it.
fn bare_name(presented: &str) -> &str {
    presented.split('"').nth(1).unwrap_or(presented)
}

/// Returns the day of a time, such as `2027-01-31`.
pub(crate) fn day(time: ASN1Time) -> String {
    time.to_datetime().date().to_string()
}
