-- wrk: requests of IMAGES images to MODEL, as binary tensors; one line of numbers at the end.
local images = tonumber(os.getenv("IMAGES"))
local pixels = {}
for i = 1, 784 * images do pixels[i] = string.char(i * 7 % 256) end
local json = string.format(
  '{"inputs":[{"name":"image","shape":[%d,1,28,28],"datatype":"UINT8","parameters":{"binary_data_size":%d}}],'
    .. '"parameters":{"binary_data_output":true}}', images, 784 * images)
wrk.method = "POST"
wrk.path = "/v2/models/" .. os.getenv("MODEL") .. "/infer"
wrk.body = json .. table.concat(pixels)
wrk.headers["Inference-Header-Content-Length"] = tostring(#json)

local delay_ms = tonumber(os.getenv("DELAY_MS") or "0")
if delay_ms > 0 then
  -- wrk waits for whole milliseconds.
  function delay() return math.floor(delay_ms + math.random()) end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('RESULT {"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "broken": %d, "refused": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.timeout, errors.status))
end
