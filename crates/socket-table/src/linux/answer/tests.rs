use std::cell::Cell;
use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::sock_diag::tests::{
    a_refusal, a_socket, an_overrun, an_overtaken_end, an_overtaken_socket, the_end,
};

/// The number of every question here.
const ASKED: u32 = 7;
/// `EPERM`.
const NOT_PERMITTED: i32 = 1;
/// `EINTR`: a signal came first.
const INTERRUPTED: i32 = 4;

/// The gain of one `recv`.
#[derive(Clone, Debug)]
enum Arrival {
    Datagram(Vec<u8>),
    /// A datagram of which there is room for so many bytes only.
    Cut(Vec<u8>, usize),
    Error(i32),
}

use Arrival::{Cut, Datagram, Error as Failure};

fn sockets(cookies: impl IntoIterator<Item = u64>) -> Arrival {
    Datagram(cookies.into_iter().flat_map(|cookie| a_socket(cookie, ASKED)).collect())
}

fn end() -> Arrival {
    Datagram(the_end(0, ASKED))
}

/// An answer that brings `arrivals` and then fails the test, as a kernel would block there.
fn answer(arrivals: Vec<Arrival>) -> KernelAnswer<impl DatagramReceiver> {
    let mut arrivals = VecDeque::from(arrivals);
    KernelAnswer::new(IpFamily::V4, ASKED, move |buffer: &mut Vec<u8>| {
        assert!(buffer.is_empty() && buffer.capacity() >= DATAGRAM_LEN);
        match arrivals.pop_front().expect("it reads on after the end") {
            Datagram(bytes) => {
                buffer.extend(&bytes);
                Ok(bytes.len())
            }
            Cut(bytes, room) => {
                buffer.extend(&bytes[..room]);
                Ok(bytes.len())
            }
            Failure(errno) => Err(io::Error::from_raw_os_error(errno)),
        }
    })
}

/// The cookies that are listed if the question is answered so, and how often it is asked. Asked
/// again, the last answer is repeated.
fn listed(answers: &[Vec<Arrival>]) -> (Result<Vec<u64>, Error>, usize) {
    let asked = Cell::new(0);
    let ask = || {
        let arrivals = answers.get(asked.get()).or(answers.last()).unwrap().clone();
        asked.set(asked.get() + 1);
        Ok(answer(arrivals))
    };
    let mut rows = Vec::new();
    let result = steady_list(IpFamily::V4, &mut rows, ask);
    (result.map(|()| rows.iter().map(TableRow::cookie).collect()), asked.get())
}

/// Asserts that after the answer `broken` the question is asked again, and that the list is then
/// the second answer, with nothing of the first; and that a list is never given where every answer
/// is like that.
#[track_caller]
fn is_asked_again(broken: Vec<Arrival>) {
    let whole = vec![sockets(1..=3), sockets(4..=5), end()];
    let (list, asked) = listed(&[broken.clone(), whole]);
    assert_eq!((list.unwrap(), asked), ((1..=5).collect(), 2));

    let (list, asked) = listed(&[broken]);
    let Err(Error::Unsteady { family: "IPv4", readings: READINGS }) = list else {
        panic!("{list:?}");
    };
    assert_eq!(asked, READINGS);
}

#[test]
fn a_list_comes_in_as_many_datagrams_as_it_likes() {
    let answer = vec![sockets(1..=23), sockets(24..=24), sockets(25..=48), end()];
    assert_eq!(listed(&[answer]).0.unwrap(), (1..=48).collect::<Vec<_>>());
}

#[test]
fn the_end_may_stand_behind_the_last_socket() {
    let datagram = [a_socket(1, ASKED), the_end(0, ASKED)].concat();
    assert_eq!(listed(&[vec![Datagram(datagram)]]).0.unwrap(), [1]);
}

#[test]
fn an_interrupted_list_is_asked_for_again() {
    let interrupted = Datagram(an_overtaken_socket(9, ASKED));
    is_asked_again(vec![sockets(6..=8), interrupted.clone(), end()]);
    is_asked_again(vec![interrupted, sockets(6..=8), end()]);
}

#[test]
fn a_list_that_is_interrupted_at_its_very_end_is_asked_for_again() {
    is_asked_again(vec![sockets(6..=8), Datagram(an_overtaken_end(ASKED))]);
    is_asked_again(vec![Datagram(an_overtaken_end(ASKED))]);
}

#[test]
fn a_lost_datagram_is_asked_for_again() {
    is_asked_again(vec![sockets(6..=8), Failure(NO_BUFFER_SPACE)]);
    is_asked_again(vec![Failure(NO_BUFFER_SPACE)]);
}

#[test]
fn a_list_of_which_the_kernel_lost_a_part_is_asked_for_again() {
    is_asked_again(vec![sockets(6..=8), Datagram(an_overrun(ASKED))]);
    is_asked_again(vec![Datagram([a_socket(6, ASKED), an_overrun(ASKED)].concat())]);
}

#[test]
fn the_family_that_was_read_before_stays_when_the_next_is_asked_for_again() {
    let mut rows = Vec::new();
    let whole = || vec![sockets(1..=3), end()];
    steady_list(IpFamily::V4, &mut rows, || Ok(answer(whole()))).unwrap();
    let mut asked = 0;
    let ask = || {
        asked += 1;
        let lost = vec![sockets(6..=8), Failure(NO_BUFFER_SPACE)];
        Ok(answer(if asked == 1 { lost } else { vec![sockets(4..=5), end()] }))
    };
    steady_list(IpFamily::V6, &mut rows, ask).unwrap();
    assert_eq!(rows.iter().map(TableRow::cookie).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
}

#[test]
fn a_refusal_is_told_with_its_number_and_not_asked_again() {
    let refusals = [
        vec![Datagram(a_refusal(-NOT_PERMITTED, ASKED))],
        vec![sockets(1..=3), Datagram(a_refusal(-NOT_PERMITTED, ASKED))],
        vec![Datagram([a_socket(1, ASKED), a_refusal(-NOT_PERMITTED, ASKED)].concat())],
        vec![sockets(1..=3), Datagram(the_end(-NOT_PERMITTED, ASKED))],
    ];
    for answer in refusals {
        let (list, asked) = listed(&[answer]);
        let Err(Error::Refused { family: "IPv4", source }) = list else { panic!("{list:?}") };
        assert_eq!(source.raw_os_error(), Some(NOT_PERMITTED));
        assert_eq!(asked, 1);
    }
}

#[test]
fn a_datagram_that_is_cut_short_is_an_error_and_no_short_list() {
    let two = [a_socket(1, ASKED), a_socket(2, ASKED)].concat();
    let (half, all) = (two.len() / 2, two.len());
    let (list, _) = listed(&[vec![Cut(two, half), end()]]);
    let Err(Error::Malformed { what, .. }) = list else { panic!("{list:?}") };
    assert_eq!(what, format!("a datagram of {all} bytes was cut to {half}"));
}

#[test]
fn an_empty_datagram_is_an_error() {
    let (list, _) = listed(&[vec![sockets(1..=3), Datagram(Vec::new())]]);
    assert!(matches!(list, Err(Error::Malformed { .. })), "{list:?}");
}

#[test]
fn a_list_that_cannot_be_received_is_an_error_with_its_cause() {
    let (list, _) = listed(&[vec![sockets(1..=3), Failure(NOT_PERMITTED)]]);
    let Err(Error::AnswerLost { source, .. }) = list else { panic!("{list:?}") };
    assert_eq!(source.raw_os_error(), Some(NOT_PERMITTED));
}

#[test]
fn a_signal_changes_nothing() {
    let signal = || Failure(INTERRUPTED);
    let answer = vec![signal(), sockets(1..=3), signal(), signal(), end()];
    let (list, asked) = listed(&[answer]);
    assert_eq!((list.unwrap(), asked), (vec![1, 2, 3], 1));
}

#[test]
fn an_answer_to_another_question_is_passed_over() {
    let other = ASKED + 1;
    let answer = vec![
        Datagram(a_socket(100, other)),
        Datagram([a_socket(1, ASKED), an_overtaken_socket(101, other)].concat()),
        Datagram([the_end(0, other), a_socket(2, ASKED)].concat()),
        Datagram(a_refusal(-NOT_PERMITTED, other)),
        Datagram(an_overrun(other)),
        end(),
    ];
    let (list, asked) = listed(&[answer]);
    assert_eq!((list.unwrap(), asked), (vec![1, 2], 1));
}

#[test]
fn a_socket_that_the_kernel_lists_twice_is_listed_once() {
    // Its bucket grew at its head while the kernel waited to send the second datagram.
    let answer = vec![sockets([5, 1, 9]), sockets([9, 3]), sockets([1, 4]), end()];
    assert_eq!(listed(&[answer]).0.unwrap(), [5, 1, 9, 3, 4]);
}

#[test]
fn the_one_socket_is_found_or_is_not_there() {
    let cookie = |arrivals| answer(arrivals).one().map(|row| row.map(|row| row.cookie()));
    assert_eq!(cookie(vec![sockets([23])]).unwrap(), Some(23));
    assert_eq!(cookie(vec![Datagram(a_refusal(-NO_ENTRY, ASKED))]).unwrap(), None);

    let behind_another = vec![Datagram(a_refusal(-NO_ENTRY, ASKED + 1)), sockets([23])];
    assert_eq!(cookie(behind_another).unwrap(), Some(23));

    let refused = cookie(vec![Datagram(a_refusal(-NOT_PERMITTED, ASKED))]);
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    for lost in [Failure(NO_BUFFER_SPACE), Datagram(an_overrun(ASKED))] {
        let lost = cookie(vec![lost]);
        assert!(matches!(lost, Err(Error::Unsteady { readings: 1, .. })), "{lost:?}");
    }
}

/// One of the things that may happen in the middle of a list.
fn any_arrival() -> impl Strategy<Value = Arrival> {
    let cookies = prop::collection::vec(1_u64..20, 1..4);
    prop_oneof![
        6 => cookies.clone().prop_map(sockets),
        1 => (1_u64..20).prop_map(|cookie| Datagram(an_overtaken_socket(cookie, ASKED))),
        1 => Just(Datagram(an_overrun(ASKED))),
        1 => Just(Datagram(a_refusal(-NOT_PERMITTED, ASKED))),
        1 => cookies.prop_map(|cookies| {
            let Datagram(bytes) = sockets(cookies) else { unreachable!() };
            Cut(bytes, 40)
        }),
        1 => Just(Failure(NO_BUFFER_SPACE)),
        1 => Just(Failure(INTERRUPTED)),
        1 => Just(Failure(NOT_PERMITTED)),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_a_list_is_whole_or_it_is_an_error(
        answers in prop::collection::vec(prop::collection::vec(any_arrival(), 0..5), 1..7)
    ) {
        let answers: Vec<Vec<Arrival>> = answers
            .into_iter()
            .map(|mut arrivals| {
                arrivals.push(end());
                arrivals
            })
            .collect();
        let (list, asked) = listed(&answers);
        prop_assert!(asked <= READINGS);
        if let Ok(list) = list {
            // The last answer that was read is one in which nothing went wrong.
            let read = answers.get(asked - 1).unwrap_or_else(|| answers.last().unwrap());
            let steady = |arrival: &Arrival| match arrival {
                Datagram(bytes) => messages(bytes).all(|message| {
                    let message = message.unwrap();
                    !message.interrupted
                        && matches!(message.content, MessageContent::Socket(_) | MessageContent::Done(0))
                }),
                Cut(..) => false,
                Failure(errno) => *errno == INTERRUPTED,
            };
            prop_assert!(read.iter().all(steady));
            let mut whole = Vec::new();
            for arrival in read {
                let Datagram(bytes) = arrival else { continue };
                for message in messages(bytes) {
                    let MessageContent::Socket(words) = message.unwrap().content else { continue };
                    let cookie = row(words).unwrap().unwrap().cookie();
                    if !whole.contains(&cookie) {
                        whole.push(cookie);
                    }
                }
            }
            prop_assert_eq!(list, whole);
        }
    }
}
