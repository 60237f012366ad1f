module gokafka/compat

go 1.26.0

replace gokafka => ../

require github.com/twmb/franz-go/pkg/kmsg v1.15.0
