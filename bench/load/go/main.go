// Load by franz-go:
//
//	franz_load produce <bootstrap> <topic> <records> <bytes a value>
//	franz_load consume <bootstrap> <topic> <records>
//
// It speaks with whoever started it as the other load programs do: see bench/load/meter.h.
package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func number(text string) int {
	value, err := strconv.Atoi(text)
	check(err)
	return value
}

func seconds(value syscall.Timeval) float64 {
	return float64(value.Sec) + float64(value.Usec)/1e6
}

type meter struct {
	usage   syscall.Rusage
	started time.Time
}

func (m *meter) start() {
	fmt.Println("ready")
	_, err := bufio.NewReader(os.Stdin).ReadString('\n')
	check(err)
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &m.usage))
	m.started = time.Now()
}

func (m *meter) stop(records, bytes int64) {
	elapsed := time.Since(m.started).Seconds()
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	fmt.Printf(`{"records":%d,"bytes":%d,"seconds":%.6f,"user":%.6f,"system":%.6f}`+"\n", records, bytes, elapsed,
		seconds(usage.Utime)-seconds(m.usage.Utime), seconds(usage.Stime)-seconds(m.usage.Stime))
}

// Idempotent and acks of all are franz-go's defaults.
func produce(bootstrap, topic string, count, size int) {
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.DefaultProduceTopic(topic), kgo.ProducerLinger(5*time.Millisecond),
		kgo.ProducerBatchMaxBytes(1000000), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedRecords(250000))
	check(err)
	defer client.Close()
	ctx := context.Background()
	value := bytes.Repeat([]byte{'v'}, size)
	check(client.ProduceSync(ctx, &kgo.Record{Value: value}).FirstErr())

	var m meter
	var delivered atomic.Int64
	m.start()
	for i := 0; i < count; i++ {
		client.Produce(ctx, &kgo.Record{Value: value}, func(_ *kgo.Record, err error) {
			check(err)
			delivered.Add(1)
		})
	}
	check(client.Flush(ctx))
	m.stop(delivered.Load(), delivered.Load()*int64(size))
}

func read(client *kgo.Client, count int64) (records, bytes, offsets int64) {
	for records < count {
		fetches := client.PollFetches(context.Background())
		check(fetches.Err())
		fetches.EachRecord(func(record *kgo.Record) {
			records++
			bytes += int64(len(record.Value))
			offsets += record.Offset
		})
	}
	return
}

func open(bootstrap, topic string) *kgo.Client {
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
		topic: {0: kgo.NewOffset().AtStart()}}))
	check(err)
	return client
}

// The client is opened inside the time, since it begins to fetch at once; opening and metadata take milliseconds.
func consume(bootstrap, topic string, count int) {
	warm := open(bootstrap, topic)
	read(warm, 1)
	warm.Close()
	var m meter
	m.start()
	client := open(bootstrap, topic)
	records, bytes, offsets := read(client, int64(count))
	m.stop(records, bytes)
	if offsets < 0 {
		fmt.Fprintln(os.Stderr, "offsets are negative")
	}
	client.Close()
}

func main() {
	arguments := os.Args[1:]
	switch {
	case len(arguments) == 5 && arguments[0] == "produce":
		produce(arguments[1], arguments[2], number(arguments[3]), number(arguments[4]))
	case len(arguments) == 4 && arguments[0] == "consume":
		consume(arguments[1], arguments[2], number(arguments[3]))
	default:
		fmt.Fprintln(os.Stderr, "usage: franz_load produce|consume <bootstrap> <topic> <records> [<bytes a value>]")
		os.Exit(2)
	}
}
