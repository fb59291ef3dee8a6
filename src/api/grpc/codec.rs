//! How messages are read and written.

use std::marker::PhantomData;

use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Messages that are known by their descriptors only: reads those of one type, and writes those of any.
#[derive(Clone)]
pub(super) struct Messages(MessageDescriptor);

impl Messages {
    pub(super) fn read_as(input: MessageDescriptor) -> Self {
        Self(input)
    }
}

impl Codec for Messages {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Written<DynamicMessage>;
    type Decoder = Self;

    fn encoder(&mut self) -> Self::Encoder {
        Written(PhantomData)
    }

    fn decoder(&mut self) -> Self {
        self.clone()
    }
}

impl Decoder for Messages {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        read(DynamicMessage::decode(self.0.clone(), from))
    }
}

/// Messages of our own: requests of one type, and their answers.
pub(super) struct Own<Q, A>(PhantomData<(Q, A)>);

impl<Q, A> Default for Own<Q, A> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<Q: Message + Default + 'static, A: Message + 'static> Codec for Own<Q, A> {
    type Encode = A;
    type Decode = Q;
    type Encoder = Written<A>;
    type Decoder = Self;

    fn encoder(&mut self) -> Self::Encoder {
        Written(PhantomData)
    }

    fn decoder(&mut self) -> Self {
        Self::default()
    }
}

impl<Q: Message + Default, A> Decoder for Own<Q, A> {
    type Item = Q;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Q>, Status> {
        read(Q::decode(from))
    }
}

/// Writes messages of one type.
pub(super) struct Written<A>(PhantomData<A>);

impl<A: Message> Encoder for Written<A> {
    type Item = A;
    type Error = Status;

    fn encode(&mut self, message: A, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message.encode(into).map_err(|error| Status::internal(error.to_string()))
    }
}

/// What cannot be read was written wrong by the client.
fn read<Q>(message: Result<Q, prost::DecodeError>) -> Result<Option<Q>, Status> {
    message.map(Some).map_err(|error| Status::invalid_argument(error.to_string()))
}
