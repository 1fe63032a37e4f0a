package row

import "github.com/cespare/xxhash/v2"

// Shard gives the shard, from 0 to shards-1, of a key of a table ("schema.table"): the partition of every region's topic
// and the part of every ledger that the row belongs to. The same arguments give the same shard in every version of
// Meridian: topics and ledgers outlive the program.
func Shard(table string, key Key, shards int) int {
	if shards <= 1 {
		return 0
	}
	h := xxhash.Sum64String(table) ^ xxhash.Sum64String(string(key))*0x9e3779b97f4a7c15
	// The finalizer of splitmix64, so that the low bits depend on both hashes.
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	h ^= h >> 31
	return int(h % uint64(shards))
}
