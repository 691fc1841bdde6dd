// One TLS connection: OpenSSL's state between the text above and the stream below. Only the sources of io/tls include
// this.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/tls/openssl.h"
#include "io/tls/stream.h"

namespace klamm::io::tls {

// Outlives its TlsStream while a task of its own still uses the stream below.
//
// OpenSSL reads from the stream below by itself (a BIO of ours) but never writes to it: what it wants to send is
// collected in `out_` and goes down in one call for many records.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Shard& shard, std::unique_ptr<Stream> below, std::shared_ptr<const Context> context, std::string peer_name);
  // Makes it the client side that wants to talk to `host`.
  void expect_host(const std::string& host);

  Task<Result<void>> handshake(Instant deadline);
  Result<std::size_t> read(MutableBytes into);
  Result<std::size_t> write(std::span<const Piece> pieces);
  void wait(Direction direction, ReadinessWaiter& waiter);
  void shutdown_write();
  void close();

  SSL* ssl() const noexcept { return ssl_.get(); }
  Stream& below() const noexcept { return *below_; }

 private:
  static constexpr std::size_t kRecord = 16 << 10;     // the most that one TLS record holds
  static constexpr std::size_t kChunk = 4 * kRecord;   // encrypted and sent at once
  static constexpr std::size_t kColdRead = 256 << 10;  // read from a disk at once
  using Scratch = std::array<std::byte, kChunk>;

  // The pieces that write() was given, from the first byte not yet encrypted on.
  struct Cursor {
    std::span<const Piece> pieces;
    std::uint64_t offset = 0;  // in the first
    void skip(std::uint64_t bytes);
  };

  friend struct Bio;
  int bio_read(std::byte* into, std::size_t size, std::size_t& got, bool& retry);
  void bio_write(Bytes bytes);
  static int verified(int good, X509_STORE_CTX* store);

  Result<Bytes> gather(Cursor cursor, Scratch& scratch);
  Result<std::size_t> region_bytes(const FileRegion& region, MutableBytes into);
  bool cursor_needs_warm(const Cursor& cursor) const;
  void forget_warm();
  Result<bool> flush();
  void release_when_idle();
  Task<Result<void>> flush_all();
  Task<void> finish_writing();
  Task<Result<void>> shake();
  Task<void> let_peer_read_why();
  Task<void> warm_up(FileRegion region, std::coroutine_handle<> waiter);
  Error fault_of_stream();
  Error fault_of_handshake();
  std::string refusal_text(long verify_result) const;

  Shard& shard_;
  std::unique_ptr<Stream> below_;
  std::shared_ptr<const Context> context_;
  std::string peer_name_;  // "broker-1:9093"
  std::string host_;       // that a client wants to reach
  SslPtr ssl_;
  std::vector<std::byte> out_;         // encrypted, to go down; from out_begin_ on
  std::size_t out_begin_ = 0;          // in out_
  std::size_t owed_ = 0;               // bytes of text that were encrypted and not yet told to the caller as taken
  bool has_read_all_ = true;           // OpenSSL's own buffer holds nothing that could be given out
  bool below_ended_ = false;           // the stream below has come to its end
  bool ended_ = false;                 // the peer's close_notify was read
  bool shut_ = false;                  // ours was made
  bool closed_ = false;                // close() was called
  std::optional<Error> below_error_;   // why the stream below failed inside a call of OpenSSL's
  std::optional<Error> fault_;         // what every further operation answers
  std::string refused_names_;          // of the certificate that did not pass
  std::optional<FileRegion> cold_;     // what write() found not to be in memory
  std::optional<FileRegion> warm_at_;  // what warm_ holds of a file
  std::vector<std::byte> warm_;
};

}  // namespace klamm::io::tls
