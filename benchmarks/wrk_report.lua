-- For wrk: sends the requests of a file, lines `METHOD PATH BODY`, in turn, and prints one line of JSON, a `Seen`.

local requests = {}
local turn = 0

function init(args)
   for line in io.lines(args[1]) do
      local method, path, body = line:match("^(%S+) (%S+) (.*)$")
      local headers = {}
      if body == "" then
         body = nil
      else
         headers["Content-Type"] = "application/json"
      end
      requests[#requests + 1] = wrk.format(method, path, headers, body)
   end
end

function request()
   turn = turn % #requests + 1
   return requests[turn]
end

function done(summary, latency, _)
   local errors = summary.errors
   local failures = errors.connect + errors.read + errors.write + errors.status + errors.timeout
   io.write(string.format(
      '\n{"seconds":%.6f,"accepted":%d,"failures":%d,"p50_ms":%.3f,"p99_ms":%.3f}\n',
      summary.duration / 1e6, summary.requests, failures,
      latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
