//! The ng protocol over WebSocket (RFC 6455), on the admin listener alone, at every path that nothing else
//! stands at: the subprotocol says what is spoken. Each message is a request and gets one message, always
//! a binary one, as rtpengine sends them.

use std::time::Duration;

use actix_web::http::header::{SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use actix_ws::{
    AggregatedMessage, AggregatedMessageStream, CloseCode, CloseReason, ProtocolError, Session,
};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, interval_at, timeout};

use super::access::{self, Control};
use super::openapi::{self, Document};
use super::sse::stopped;
use super::{State, ng};
use crate::api::Problem;
use crate::ng::FRAME_MAX;
use crate::ng_server::{Asker, Closed, Door, NgDesk};

/// Messages with a cookie.
const FRAMED: &str = "ng.rtpengine.com";
/// Messages without one.
const PLAIN: &str = "ng-plain.rtpengine.com";
/// Requests of one connection in progress, most; what comes behind them waits in the kernel.
const PIPELINE_MAX: usize = 64;
/// How often the far side is pinged. One that was silent for two of them is gone.
const PING: Duration = Duration::from_secs(30);
/// How long the far side may take to read.
const WRITE: Duration = Duration::from_secs(10);

/// What nothing else took: a WebSocket, or nothing.
pub(super) async fn open(
    request: HttpRequest,
    payload: Payload,
    state: Data<State>,
    document: Data<Document>,
) -> HttpResponse {
    let Some(protocol) = protocol(&request) else {
        return openapi::elsewhere(request, document).await;
    };
    upgrade(&request, payload, &state, protocol).unwrap_or_else(|problem| problem.error_response())
}

/// The first of the offered subprotocols that is spoken here.
fn protocol(request: &HttpRequest) -> Option<&'static str> {
    request.headers().get(UPGRADE)?;
    let offered = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL);
    let mut offered = offered.filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
    offered.find_map(|name| [FRAMED, PLAIN].into_iter().find(|known| *known == name.trim()))
}

fn upgrade(
    request: &HttpRequest,
    payload: Payload,
    state: &Data<State>,
    protocol: &'static str,
) -> Result<HttpResponse, Problem> {
    access::admit::<Control>(request)?;
    let asker = ng::asker(request, state, Door::WebSocket)?;
    let (response, session, messages) =
        actix_ws::handle_with_protocols(request, payload, &[protocol])
            .map_err(|error| Problem::malformed(format!("no WebSocket handshake: {error}")))?;
    let messages = messages.max_frame_size(FRAME_MAX).aggregate_continuations();
    let talk = Talk {
        desk: state.ng.clone(),
        asker,
        framed: protocol == FRAMED,
        session,
        messages: messages.max_continuation_size(FRAME_MAX),
        pending: FuturesUnordered::new(),
        alarm: interval_at(Instant::now() + PING, PING),
        silent: 0,
    };
    actix_rt::spawn(talk.serve(state.subscribers.stopping()));
    Ok(response)
}

/// One WebSocket.
struct Talk {
    desk: NgDesk,
    asker: Asker,
    framed: bool,
    session: Session,
    messages: AggregatedMessageStream,
    /// Requests in progress.
    pending: FuturesUnordered<LocalBoxFuture<'static, Option<Bytes>>>,
    alarm: Interval,
    /// Pings since the far side was last heard.
    silent: u32,
}

/// Why a talk is over.
enum Over {
    /// The far side is gone.
    Gone,
    /// The node closes it.
    Closed(Closed),
}

impl Talk {
    async fn serve(mut self, mut stop: watch::Receiver<bool>) {
        let over = tokio::select! {
            over = self.exchange() => over,
            () = stopped(&mut stop) => Over::Gone,
        };
        if let Over::Closed(why) = over {
            self.desk.closed(why);
            tracing::debug!(peer = %self.asker.peer, why = why.label(), "ng WebSocket closed");
        }
        let reason = CloseReason { code: CloseCode::Away, description: None };
        let _ = timeout(WRITE, self.session.close(Some(reason))).await;
    }

    async fn exchange(&mut self) -> Over {
        loop {
            let has_room = self.pending.len() < PIPELINE_MAX;
            let step = tokio::select! {
                Some(reply) = self.pending.next() => self.answer(reply).await,
                message = self.messages.recv(), if has_room => self.take(message).await,
                _ = self.alarm.tick() => self.ping().await,
            };
            if let Err(over) = step {
                return over;
            }
        }
    }

    async fn take(
        &mut self,
        message: Option<Result<AggregatedMessage, ProtocolError>>,
    ) -> Result<(), Over> {
        self.silent = 0;
        match message {
            Some(Ok(AggregatedMessage::Text(text))) => self.ask(text.into_bytes()),
            Some(Ok(AggregatedMessage::Binary(bytes))) => self.ask(bytes),
            Some(Ok(AggregatedMessage::Ping(bytes))) => {
                return sent(timeout(WRITE, self.session.pong(&bytes)).await);
            }
            Some(Ok(AggregatedMessage::Pong(_))) => {}
            Some(Ok(AggregatedMessage::Close(_)) | Err(ProtocolError::Io(_))) | None => {
                return Err(Over::Gone);
            }
            Some(Err(_)) => return Err(Over::Closed(Closed::Unreadable)),
        }
        Ok(())
    }

    fn ask(&mut self, message: Bytes) {
        let (desk, asker, framed) = (self.desk.clone(), self.asker, self.framed);
        self.pending.push(Box::pin(async move {
            if framed {
                return desk.ask(asker, message).await;
            }
            Some(desk.ask_plain(asker, &message).await)
        }));
    }

    async fn answer(&mut self, reply: Option<Bytes>) -> Result<(), Over> {
        let Some(reply) = reply else { return Ok(()) };
        sent(timeout(WRITE, self.session.binary(reply)).await)
    }

    async fn ping(&mut self) -> Result<(), Over> {
        if self.silent > 1 {
            return Err(Over::Closed(Closed::Idle));
        }
        self.silent += 1;
        sent(timeout(WRITE, self.session.ping(b"")).await)
    }
}

fn sent<E>(outcome: Result<Result<(), actix_ws::Closed>, E>) -> Result<(), Over> {
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Over::Gone),
        Err(_) => Err(Over::Closed(Closed::Slow)),
    }
}
