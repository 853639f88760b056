//! A gRPC codec that copies encoded frames as they are.

use bytes::Buf as _;
use prost::Message as _;
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};
use venue_delivery::Frame;
use venue_schema::v1::DeliverResponse;

/// Sends [`Frame`]s, receives [`DeliverResponse`]s.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FrameCodec;

impl Codec for FrameCodec {
    type Encode = Frame;
    type Decode = DeliverResponse;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for FrameCodec {
    type Item = Frame;
    type Error = Status;

    fn encode(&mut self, frame: Frame, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(frame.encoded_len());
        frame.write_to(buffer);
        Ok(())
    }
}

impl Decoder for FrameCodec {
    type Item = DeliverResponse;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<DeliverResponse>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        let broken = |error| Status::internal(format!("the receiver's message cannot be read: {error}"));
        DeliverResponse::decode(bytes).map(Some).map_err(broken)
    }
}
