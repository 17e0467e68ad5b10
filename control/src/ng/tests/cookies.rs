use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::ng::cookies::{BYTES_MAX, REPLIES_MAX, RUNNING_MAX, WAITING_MAX};
use crate::ng::{Asked, Cookies};

const SECOND: Duration = Duration::from_secs(1);

/// Cookies, asked by number, and the time that they think it is.
struct Server {
    cookies: Cookies<u32>,
    now: Instant,
}

impl Server {
    fn new() -> Self {
        let now = Instant::now();
        Self { cookies: Cookies::new(now), now }
    }

    fn asked(&mut self, cookie: &str) -> Asked {
        self.cookies.asked(cookie.as_bytes(), 0, self.now)
    }

    fn answered(&mut self, cookie: &str, reply: &'static str) -> Vec<u32> {
        let reply = Bytes::from_static(reply.as_bytes());
        self.cookies.answered(cookie.as_bytes(), reply, self.now)
    }

    fn serve(&mut self, cookie: &str) {
        assert_eq!(self.asked(cookie), Asked::Run);
        assert!(self.answered(cookie, "reply").is_empty());
    }
}

fn reply(text: &'static str) -> Asked {
    Asked::Answered(Bytes::from_static(text.as_bytes()))
}

#[test]
fn a_repeat_gets_the_same_bytes_and_runs_nothing() {
    let mut server = Server::new();
    assert_eq!(server.asked("a"), Asked::Run);
    assert!(server.answered("a", "reply").is_empty());
    assert_eq!(server.asked("a"), reply("reply"));
    assert_eq!(server.asked("a "), Asked::Run, "another cookie");
}

#[test]
fn a_repeat_waits_for_the_first_and_is_told_with_it() {
    let mut server = Server::new();
    let now = server.now;
    assert_eq!(server.cookies.asked(b"a", 1, now), Asked::Run);
    assert_eq!(server.cookies.asked(b"a", 2, now), Asked::Waits);
    assert_eq!(server.cookies.asked(b"a", 3, now), Asked::Waits);
    server.now += 70 * SECOND;
    assert_eq!(server.cookies.asked(b"a", 4, server.now), Asked::Waits, "however long it takes");
    assert_eq!(server.answered("a", "late"), [2, 3, 4]);
    assert_eq!(server.asked("a"), reply("late"));
}

#[test]
fn an_abandoned_request_runs_when_it_comes_again() {
    let mut server = Server::new();
    assert_eq!(server.asked("a"), Asked::Run);
    assert_eq!(server.asked("a"), Asked::Waits);
    assert_eq!(server.cookies.abandoned(b"a"), [0]);
    assert_eq!(server.asked("a"), Asked::Run);
}

#[test]
fn a_reply_is_known_for_one_to_two_generations() {
    for (served, last, gone) in [(0, 59, 60), (29, 59, 60), (30, 89, 90)] {
        let mut server = Server::new();
        let start = server.now;
        for second in 0..=gone {
            server.now = start + second * SECOND;
            server.cookies.age(server.now);
            match second {
                _ if second == served => server.serve("a"),
                _ if second > served && second <= last => {
                    assert_eq!(server.asked("a"), reply("reply"))
                }
                _ if second == gone => assert_eq!(server.asked("a"), Asked::Run),
                _ => {}
            }
        }
    }
}

#[test]
fn silence_forgets_both_generations() {
    let mut server = Server::new();
    server.serve("a");
    server.now += 60 * SECOND;
    assert_eq!(server.asked("a"), Asked::Run);
    assert!(server.cookies.is_empty());
    assert_eq!(server.cookies.bytes(), 0);
}

#[test]
fn at_the_limit_of_replies_the_oldest_go_and_new_work_goes_on() {
    let mut server = Server::new();
    for number in 0..2 * REPLIES_MAX {
        server.serve(&number.to_string());
        assert!(server.cookies.len() <= REPLIES_MAX);
    }
    assert_eq!(server.asked(&(2 * REPLIES_MAX - 1).to_string()), reply("reply"));
    assert_eq!(server.asked(&(2 * REPLIES_MAX - REPLIES_MAX / 2).to_string()), reply("reply"));
    assert_eq!(server.asked("0"), Asked::Run);
}

#[test]
fn at_the_limit_of_bytes_the_oldest_go_and_too_large_ones_are_not_kept() {
    let mut server = Server::new();
    let block = Bytes::from(vec![0; BYTES_MAX / 8]);
    for number in 0..20_u8 {
        let _ = server.cookies.answered(&[number], block.clone(), server.now);
        assert!(server.cookies.bytes() <= BYTES_MAX);
    }
    assert_eq!(server.cookies.asked(&[19], 0, server.now), Asked::Answered(block));
    assert_eq!(server.cookies.asked(&[0], 0, server.now), Asked::Run);
    let huge = Bytes::from(vec![0; BYTES_MAX / 2 + 1]);
    let _ = server.cookies.answered(b"huge", huge, server.now);
    assert_eq!(server.asked("huge"), Asked::Run);
}

#[test]
fn an_answer_that_comes_twice_is_counted_once() {
    let mut server = Server::new();
    server.serve("a");
    let (len, bytes) = (server.cookies.len(), server.cookies.bytes());
    assert!(server.answered("a", "reply").is_empty());
    server.now += 31 * SECOND;
    assert!(server.answered("a", "reply").is_empty());
    assert_eq!((server.cookies.len(), server.cookies.bytes()), (len, bytes));
}

#[test]
fn requests_in_progress_and_those_who_wait_are_bounded() {
    let mut server = Server::new();
    for number in 0..RUNNING_MAX {
        assert_eq!(server.asked(&number.to_string()), Asked::Run);
    }
    assert_eq!(server.asked("one more"), Asked::Busy);
    for _ in 0..WAITING_MAX {
        assert_eq!(server.asked("0"), Asked::Waits);
    }
    assert_eq!(server.asked("0"), Asked::Ignored);
    assert_eq!(server.answered("0", "reply").len(), WAITING_MAX);
    assert_eq!(server.asked("one more"), Asked::Run);
}
