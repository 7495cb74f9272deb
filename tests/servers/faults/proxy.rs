//! Between clients and their server: follows what they say to each other and stands still at one moment of it, with all
//! that goes through it, until the test has done there what it wants and lets it go on or cuts the line.
//!
//! Reads as much of the two protocols as it takes to tell one message from the next, which statement is to be run, and
//! when the server has answered it. Speaks for nobody, but for "no" to the question for TLS.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::PATIENCE;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    Postgres,
    Mysql,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The server has not been asked to run it.
    Before,
    /// The server has run it, and its client has not heard so.
    After,
    /// Its client has heard so.
    Heard,
}

/// Where the proxy stands still: once, on the first connection that comes to it.
#[derive(Clone)]
pub struct Moment {
    /// A part of the session's name; MySQL's have none.
    pub session: &'static str,
    /// What the statement begins with.
    pub statement: &'static str,
    pub side: Side,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Open,
    Stands,
    /// The one that stood still is closed.
    Cut,
    /// Nothing gets through any more, on no connection.
    Down,
}

struct Shared {
    wire: Wire,
    server: String,
    moment: Mutex<Option<Moment>>,
    line: watch::Sender<Line>,
    /// What stands stays so, and hears of no end.
    silent: AtomicBool,
    /// What the server believes to be connected still; none where it learns that a client is gone.
    kept: Mutex<Option<Vec<TcpStream>>>,
}

pub struct Proxy {
    pub address: String,
    shared: Arc<Shared>,
}

impl Proxy {
    /// In front of `server`, a `host:port`.
    pub async fn to(server: &str, wire: Wire, moment: Option<Moment>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            wire,
            server: server.to_owned(),
            moment: Mutex::new(moment),
            line: watch::Sender::new(Line::Open),
            silent: AtomicBool::new(false),
            kept: Mutex::new(None),
        });
        let accepting = shared.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // A client that comes after the line went down is turned away.
                if *accepting.line.borrow() != Line::Down {
                    tokio::spawn(Conversation::between(client, accepting.clone()));
                }
            }
        });
        Self { address, shared }
    }

    /// Waits until a connection has come to the moment.
    pub async fn stands(&self) {
        let mut line = self.shared.line.subscribe();
        tokio::time::timeout(PATIENCE, line.wait_for(|line| *line == Line::Stands)).await.expect("the moment").unwrap();
    }

    pub fn goes_on(&self) {
        self.turn(Line::Open);
    }

    /// The one that stood still stands for ever, and every other line is open again.
    pub fn leaves_it_standing(&self) {
        self.shared.silent.store(true, Ordering::Relaxed);
        self.turn(Line::Open);
    }

    pub fn cuts(&self) {
        self.turn(Line::Cut);
    }

    pub fn goes_down(&self) {
        self.turn(Line::Down);
    }

    /// From now on a server does not learn that its client is gone.
    pub fn keeps_the_server_in_the_dark(&self) {
        *self.shared.kept.lock().unwrap() = Some(Vec::new());
    }

    /// The server learns that nobody is there.
    pub fn tells_the_server(&self) {
        *self.shared.kept.lock().unwrap() = None;
    }

    fn turn(&self, line: Line) {
        self.shared.line.send_replace(line);
    }
}

/// What passes one way, message by message.
#[derive(Default)]
struct Stream {
    bytes: Vec<u8>,
    /// The first message of a PostgreSQL client has no type before its length.
    greeted: bool,
}

impl Stream {
    /// More bytes; false: nobody sends any more.
    async fn fill(&mut self, from: &mut (impl AsyncReadExt + Unpin)) -> bool {
        matches!(from.read_buf(&mut self.bytes).await, Ok(1..))
    }

    /// One whole message, as it stands on the wire.
    fn message(&mut self, wire: Wire) -> Option<Vec<u8>> {
        let length = |at: usize| Some(u32::from_be_bytes(self.bytes.get(at..at + 4)?.try_into().ok()?) as usize);
        let whole = match wire {
            Wire::Postgres if self.greeted => length(1)? + 1,
            Wire::Postgres => length(0)?,
            Wire::Mysql => {
                let [a, b, c] = *self.bytes.get(..3)? else { return None };
                u32::from_le_bytes([a, b, c, 0]) as usize + 4
            }
        };
        (self.bytes.len() >= whole).then(|| self.bytes.drain(..whole).collect())
    }
}

/// How far the statement of the moment has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Run {
    Not,
    Begun,
    Answered,
}

struct Conversation {
    shared: Arc<Shared>,
    /// What the session calls itself.
    name: String,
    /// The statement that was parsed last.
    statement: String,
    run: Run,
}

const TLS: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

impl Conversation {
    async fn between(mut client: TcpStream, shared: Arc<Shared>) {
        let Ok(mut server) = TcpStream::connect(&shared.server).await else { return };
        let (name, statement) = (String::new(), String::new());
        let mut this = Self { shared, name, statement, run: Run::Not };
        this.pass(&mut client, &mut server).await;
        if let Some(kept) = this.shared.kept.lock().unwrap().as_mut() {
            kept.push(server);
        }
    }

    async fn pass(&mut self, client: &mut TcpStream, server: &mut TcpStream) {
        let wire = self.shared.wire;
        let mut line = self.shared.line.subscribe();
        let (mut said, mut answers) = (Stream::default(), Stream { greeted: true, ..Stream::default() });
        loop {
            let more = tokio::select! {
                there = said.fill(client) => there,
                there = answers.fill(server) => there,
                _ = line.wait_for(|line| *line == Line::Down) => false,
            };
            let down = line.wait_for(|line| *line != Line::Stands).await.is_ok_and(|line| *line == Line::Down);
            if down {
                return;
            }
            while let Some(message) = said.message(wire) {
                if wire == Wire::Postgres && message == TLS {
                    if client.write_all(b"N").await.is_err() {
                        return;
                    }
                    continue;
                }
                self.listens(&message, said.greeted);
                said.greeted = true;
                if self.runs(&message) {
                    self.run = Run::Begun;
                    if self.stands_at(Side::Before) && !self.goes_on().await {
                        return;
                    }
                }
                if server.write_all(&message).await.is_err() {
                    return;
                }
            }
            while let Some(message) = answers.message(wire) {
                if self.run == Run::Begun && self.answers(&message) {
                    self.run = Run::Answered;
                    if self.stands_at(Side::After) && !self.goes_on().await {
                        return;
                    }
                }
                let heard = self.run == Run::Answered && self.ends(&message);
                if heard {
                    self.run = Run::Not;
                }
                // Nobody who hears of it gets on by another connection.
                let stands = heard && self.stands_at(Side::Heard);
                if client.write_all(&message).await.is_err() || (stands && !self.goes_on().await) {
                    return;
                }
            }
            if !more {
                return;
            }
        }
    }

    fn listens(&mut self, message: &[u8], greeted: bool) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_lowercase();
        match (self.shared.wire, greeted) {
            (Wire::Postgres, false) => {
                let mut words = message.get(8..).unwrap_or_default().split(|byte| *byte == 0).map(text);
                while let Some(word) = words.next() {
                    if word == "application_name" {
                        self.name = words.next().unwrap_or_default();
                    }
                }
            }
            (Wire::Postgres, true) if message[0] == b'P' => {
                let mut words = message[5..].split(|byte| *byte == 0);
                self.statement = words.nth(1).map(text).unwrap_or_default();
            }
            (Wire::Mysql, _) if matches!(message.get(4), Some(3 | 22)) => self.statement = text(&message[5..]),
            _ => {}
        }
    }

    /// Whether this message has the server run the statement of the moment.
    fn runs(&self, message: &[u8]) -> bool {
        let told = match self.shared.wire {
            Wire::Postgres => message[0] == b'E',
            Wire::Mysql => matches!(message.get(4), Some(3 | 23)),
        };
        let moment = self.shared.moment.lock().unwrap();
        told && moment
            .as_ref()
            .is_some_and(|moment| self.name.contains(moment.session) && self.statement.starts_with(moment.statement))
    }

    /// Whether the server says that it has run the statement, or could not.
    fn answers(&self, message: &[u8]) -> bool {
        match self.shared.wire {
            Wire::Postgres => matches!(message[0], b'C' | b'E'),
            Wire::Mysql => true,
        }
    }

    /// Whether with this message its client has the whole answer.
    fn ends(&self, message: &[u8]) -> bool {
        match self.shared.wire {
            Wire::Postgres => message[0] == b'Z',
            Wire::Mysql => true,
        }
    }

    /// Whether this is the moment, at which everything stands.
    fn stands_at(&self, side: Side) -> bool {
        let mut moment = self.shared.moment.lock().unwrap();
        let stands = moment.as_ref().is_some_and(|moment| moment.side == side);
        if stands {
            *moment = None;
            self.shared.line.send_replace(Line::Stands);
        }
        stands
    }

    /// Waits for the test. False: the line is cut.
    async fn goes_on(&self) -> bool {
        let mut line = self.shared.line.subscribe();
        let told = line.wait_for(|line| *line != Line::Stands).await.map(|line| *line);
        if self.shared.silent.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        told.is_ok_and(|line| line == Line::Open)
    }
}
